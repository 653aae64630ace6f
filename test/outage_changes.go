package test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/portworx/kvdb"
)

// changes has writers that change and delete keys during faults of the server. Each writer
// has its own keys, so the history of a key is known up to a write with an unknown outcome.
// After that the writer takes another key.
type changes struct {
	e       *env
	watched *recorder // a watch from before the first write
	stop    func()    // ends the writers

	mu        sync.Mutex          // protects the fields below
	histories map[string][]change // of each key
	wrong     []error             // of writes, which no write may return
}

// change is a write that was acknowledged, or, as the last one of a key, one
// with an unknown outcome.
type change struct {
	value   string // "" for a delete
	index   uint64 // 0 when it is not known
	unknown bool
}

// changes starts the writers.
func (e *env) changes() *changes {
	c := &changes{e: e, histories: map[string][]change{}, watched: e.watchTree("changes/", e.index())}
	ctx, cancel := context.WithCancel(e.t.Context())
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				c.life(ctx, fmt.Sprintf("changes/%d-%d", writer, i))
			}
		})
	}
	c.stop = func() { cancel(); writers.Wait() }
	e.t.Cleanup(c.stop)
	return c
}

// life changes and deletes key until the outcome of a write is unknown.
func (c *changes) life(ctx context.Context, key string) {
	kv, last := c.e.kv, uint64(0)
	for i := 0; ctx.Err() == nil; {
		done := change{value: fmt.Sprint(key, " ", i)}
		var pair *kvdb.KVPair
		var err error
		switch i % 6 {
		case 0, 3:
			pair, err = kv.Put(key, done.value, 0)
		case 1:
			pair, err = kv.Update(key, done.value, 0)
		case 4:
			set := &kvdb.KVPair{Key: key, Value: []byte(done.value), ModifiedIndex: last}
			pair, err = kv.CompareAndSet(set, kvdb.KVModifiedIndex, nil)
		default:
			done.value = ""
			pair, err = kv.Delete(key)
		}
		c.mu.Lock()
		switch {
		case err == nil:
			if done.index = pair.ModifiedIndex; done.value == "" {
				done.index = pair.KVDBIndex
			}
			last = done.index
			c.histories[key] = append(c.histories[key], done)
			i++
		case errors.Is(err, kvdb.ErrUnknownOutcome):
			done.unknown = true
			c.histories[key] = append(c.histories[key], done)
		case !errors.Is(err, kvdb.ErrNoConnection):
			c.wrong = append(c.wrong, fmt.Errorf("write %d of %s: %w", i, key, err))
			done.unknown = true
		}
		c.mu.Unlock()
		if done.unknown {
			return
		}
	}
}

// check asserts that the watch, if the store has watches, delivered each write once, and
// that the last event of each key is its state in the store.
func (c *changes) check() {
	e := c.e
	e.t.Helper()
	c.stop()
	e.Empty(c.wrong)
	now := map[string]*kvdb.KVPair{}
	pairs, err := e.kv.Enumerate("changes/")
	e.NoError(err)
	for _, pair := range pairs {
		now[pair.Key] = pair
	}
	e.put("changes/end", "changes/end")
	if c.watched == nil {
		c.checkState(now)
		return
	}
	seen := map[string][]*kvdb.KVPair{}
	for _, event := range c.watched.until("changes/end") {
		seen[event.Key] = append(seen[event.Key], event)
	}
	delete(seen, "changes/end")
	for key, events := range seen {
		e.isHistory(key, events, c.histories[key])
	}
	for key, history := range c.histories {
		events, last := seen[key], history[len(history)-1]
		switch pair := now[key]; {
		case len(events) == 0:
			e.Nil(pair, "%s exists, but the watch delivered no event of it", key)
		case pair != nil: // a delayed request may have arrived after the last event
			e.GreaterOrEqual(events[len(events)-1].ModifiedIndex, pair.ModifiedIndex, "the ModifiedIndex of the last event of %s", key)
		case !last.unknown || last.value == "":
			e.Equal(kvdb.KVDelete, events[len(events)-1].Action, "the Action of the last event of %s, which does not exist any more", key)
		}
	}
}

// checkState asserts that the store has the last acknowledged write of each key.
func (c *changes) checkState(now map[string]*kvdb.KVPair) {
	c.e.t.Helper()
	for key, history := range c.histories {
		switch pair, last := now[key], history[len(history)-1]; {
		case last.unknown:
		case last.value == "":
			c.e.Nil(pair, "%s exists, although its deletion was acknowledged", key)
		default:
			c.e.NotNil(pair, "%s does not exist, although its write was acknowledged", key)
			c.e.Equal(last.index, pair.ModifiedIndex, "the ModifiedIndex of %s must be that of its last acknowledged write", key)
		}
	}
}

// isHistory asserts that events are the history of a key, in order and without repetition.
// Events may be missing only if Traits.FoldedUpdates is set.
func (e *env) isHistory(key string, events []*kvdb.KVPair, history []change) {
	e.t.Helper()
	next := 0
	for _, event := range events {
		value := string(event.Value)
		if event.Action == kvdb.KVDelete {
			value = ""
		}
		for e.traits.FoldedUpdates && next < len(history) && history[next].value != value {
			next++
		}
		e.Less(next, len(history), "the watch delivered the value %[2]s of %[1]s twice, or it was never written", key, value)
		e.Equal(history[next].value, value, "the value of the event of write %d of %s", next, key)
		if history[next].index > 0 && !(value == "" && e.traits.FoldedUpdates) {
			e.Equal(history[next].index, event.ModifiedIndex, "the ModifiedIndex of the event of write %d of %s", next, key)
		}
		next++
	}
	if !e.traits.FoldedUpdates && next < len(history) {
		e.True(next == len(history)-1 && history[next].unknown, "the watch did not deliver the event of write %d of %s", next, key)
	}
}
