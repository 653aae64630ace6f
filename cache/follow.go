package cache

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/portworx/kvdb"
)

// steady is how long a watch must last so that the next one begins without delay.
const steady = 10 * time.Second

// watch is a watch of the prefix.
type watch struct {
	batches iter.Seq2[kvdb.KVPairs, error]
	ctx     context.Context
	cancel  context.CancelFunc
	began   time.Time
}

// start makes the cache equal to the store, and returns a watch of what comes later. The
// watch begins before the snapshot is taken, because on some stores a watch from an index in
// the past does not deliver deletions.
func (c *Cache) start() (w watch, err error) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	kv := kvdb.WithContext(ctx, c.kv)
	known, err := c.now(kv)
	if err != nil {
		return watch{}, err
	}
	batches, err := kvdb.EventBatches(ctx, c.kv, c.prefix, 0)
	if err != nil {
		return watch{}, err
	}
	snapshot, index, err := kv.Snapshot([]string{c.prefix}, true)
	if err != nil {
		return watch{}, err
	}
	err = c.replace(kvdb.PairsWith(snapshot, c.prefix, kvdb.PageOptions{Hidden: true}), index, known)
	if err = errors.Join(err, kvdb.Close(snapshot)); err != nil {
		return watch{}, err
	}
	return watch{batches, ctx, cancel, time.Now()}, nil
}

// run follows one watch after the other until the end of the cache.
func (c *Cache) run(w watch) {
	defer close(c.done)
	defer c.cancel()
	for {
		err := c.follow(w)
		if c.watching(nil) && c.ctx.Err() == nil {
			if w, err = c.start(); err == nil {
				continue
			}
		}
		c.setLost(time.Now())
		for {
			if c.ctx.Err() != nil || errors.Is(err, kvdb.ErrClosed) {
				return
			}
			c.report(err)
			if !w.began.IsZero() && time.Since(w.began) > steady {
				c.again.Reset()
			}
			if c.again.Wait(c.ctx) != nil {
				return
			}
			if w, err = c.start(); err == nil {
				break
			}
			c.setLost(time.Now())
		}
	}
}

// follow applies the events of a watch, and returns the error that ended it.
func (c *Cache) follow(w watch) error {
	var confirming sync.WaitGroup
	defer confirming.Wait()
	defer w.cancel()
	c.watching(w.cancel)
	confirming.Go(func() { c.confirm(w.ctx) })
	for events, err := range w.batches {
		if err != nil {
			return err
		}
		c.apply(events)
	}
	return kvdb.ErrWatchStopped
}

// apply applies a batch of events.
//
// Events up to the snapshot's index come too, because the watch began earlier. A write among
// them is in the snapshot, or was undone before it. The index of a deletion may be one at
// which only others have happened (Consul, ZooKeeper), so it is compared with that of the
// pair: a pair that was created again has a larger one.
func (c *Cache) apply(events kvdb.KVPairs) {
	before := c.view.Load()
	index := before.index
	var changes []Change
	c.told(events)
	for _, event := range events {
		old := c.table.points.get(event.Key)
		change := Change{old: old, Index: event.ModifiedIndex, Generation: before.generation}
		index = max(index, event.ModifiedIndex)
		switch event.Action {
		case kvdb.KVDelete, kvdb.KVExpire:
			if old == nil || event.ModifiedIndex < old.pair.ModifiedIndex {
				continue
			}
			c.table.delete(event.Key)
		default:
			if event.ModifiedIndex <= c.base || old != nil && event.ModifiedIndex <= old.pair.ModifiedIndex {
				continue
			}
			event.Value = bytes.Clone(event.Value) // it may be a part of a large array
			change.new = c.entry(event)
			c.table.set(change.new)
		}
		changes = append(changes, change)
	}
	if len(changes) > 0 || index > before.index {
		c.publish(index, before.generation, changes)
	}
}

// entry returns the entry of a pair, and shares its value.
func (c *Cache) entry(pair *kvdb.KVPair) *entry {
	e := &entry{pair: *pair}
	e.pair.Action, e.pair.TTL = kvdb.KVGet, 0 // the rest of a TTL is not known later
	if c.decode != nil {
		e.decoded, e.err = c.decode(&e.pair)
	}
	return e
}

// replace makes the cache equal to a snapshot. Entries that have not changed stay. The watch
// knows the keys that were created up to the index known.
func (c *Cache) replace(pairs iter.Seq2[*kvdb.KVPair, error], index, known uint64) error {
	before := c.view.Load()
	next := newTable()
	var changes []Change
	wentBack := index < before.index
	untold := map[string]uint64{}
	for pair, err := range pairs {
		if err != nil {
			return err
		}
		if pair.CreatedIndex > known {
			untold[pair.Key] = pair.CreatedIndex
		}
		old := c.table.points.get(pair.Key)
		if old != nil && isSame(&old.pair, pair) {
			next.load(old)
			continue
		}
		wentBack = wentBack || old != nil && pair.ModifiedIndex <= old.pair.ModifiedIndex
		e := c.entry(pair)
		next.load(e)
		changes = append(changes, Change{old: old, new: e, Index: pair.ModifiedIndex})
	}
	c.table.order.Scan(func(key string, old *entry) bool {
		if next.points.get(key) == nil {
			changes = append(changes, Change{old: old, Index: index})
		}
		return true
	})
	generation := before.generation
	if wentBack {
		generation++
	}
	for i := range changes {
		changes[i].Generation = generation
	}
	c.table, c.base = next, index
	c.setUntold(untold)
	c.setLost(time.Time{}) // before readers see the state: the watch has begun
	c.publish(index, generation, changes)
	return nil
}

// isSame reports whether two pairs of a key are of the same write.
func isSame(a, b *kvdb.KVPair) bool {
	return a.ModifiedIndex == b.ModifiedIndex && a.CreatedIndex == b.CreatedIndex && bytes.Equal(a.Value, b.Value)
}
