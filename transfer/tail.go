package transfer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/retry"
)

const (
	// tailKeys is the maximum number of keys that are looked at in one round, and tailReads
	// that of reads at a time unless the caller says otherwise. A copy whose last round had at
	// most fewKeys has caught up.
	tailKeys  = 4096
	tailReads = 32
	fewKeys   = 1000
	// untoldTime is the time after which keys of which the watch has not told are looked at
	// again.
	untoldTime = time.Second
	// verifyPasses and verifyWait bound the number of comparisons and the wait between them.
	verifyPasses = 20
	verifyWait   = 2 * time.Second
)

// watch starts the watch of the source, which ends ctx by cancel when it is over.
func (c *copier) watch(ctx context.Context, cancel context.CancelCauseFunc, running *sync.WaitGroup) error {
	source := kvdb.WithContext(ctx, c.source)
	none, index, err := source.Snapshot([]string{c.o.Prefix + ReservedPrefix + "-none"}, true)
	if err != nil {
		return err
	}
	if err := kvdb.Close(none); err != nil {
		return err
	}
	ordered := c.source.Capabilities()&kvdb.KVCapabilityOrderedUpdates != 0
	if !ordered || c.state.Index == 0 || c.state.Index > index { // larger: the source went back
		c.state = state{Index: index}
	}
	after, known := c.state.Index, (*uint64)(nil)
	if !ordered { // a watch from an index in the past does not deliver deletions
		after, known = 0, &index
	}
	d := newDirty(known)
	over := make(chan struct{})
	err = kvdb.WatchBatches(source, c.o.Prefix, after, func(events kvdb.KVPairs, err error) error {
		if err != nil {
			cancel(fmt.Errorf("%w: %w", errWatchOver, err))
			close(over)
			return err
		}
		d.notify(events)
		return nil
	})
	if err != nil {
		return err
	}
	c.dirty = d
	running.Go(func() { <-over }) // which the end of ctx causes too
	return nil
}

// tail applies the changes of the source, until it is time to return.
func (c *copier) tail(ctx context.Context) error {
	c.phase(PhaseTail)
	tick := time.NewTicker(untoldTime)
	defer tick.Stop()
	for {
		if err := c.drain(ctx); err != nil {
			return err
		}
		if !c.progress.InSync {
			c.progress.InSync = true
			c.show(0)
			c.startCutOver()
		}
		if c.cutOver == nil && !c.o.Follow || c.cutOver != nil && c.cutOver.over {
			return c.verify(ctx)
		}
		select {
		case <-c.dirty.changed:
		case <-tick.C:
			c.dirty.addUntold()
			c.show(showEvery)
		case err := <-c.cutOver.result():
			if err != nil {
				return fmt.Errorf("cut-over: %w", err)
			}
			c.cutOver.over = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// drain looks at the dirty keys until there are few.
func (c *copier) drain(ctx context.Context) error {
	for {
		keys, index, all := c.dirty.take(tailKeys)
		if len(keys) > 0 {
			if err := c.retrying(ctx, func() error { return c.apply(ctx, keys) }); err != nil {
				return err
			}
		}
		if all && c.state.Complete {
			c.state.Index = max(c.state.Index, index)
			c.saveState(saveEvery)
		}
		if len(keys) <= fewKeys {
			return nil
		}
	}
}

// apply makes the target have at the keys what the source has.
func (c *copier) apply(ctx context.Context, keys []string) error {
	pairs := make([]*kvdb.KVPair, len(keys))
	if err := c.readAll(ctx, keys, pairs); err != nil {
		return err
	}
	var puts, deletes []*kvdb.KVPair
	for i, pair := range pairs {
		if pair == nil {
			c.dirty.missing(keys[i])
			deletes = append(deletes, deletion(keys[i]))
			continue
		}
		problem := c.fits(pair)
		switch {
		case problem == nil:
			puts = append(puts, c.wanted(pair))
		case !c.o.Skip:
			return incompatible(pair.Key, problem)
		}
	}
	c.progress.Keys += len(keys)
	if c.limits.NoKeyAboveKeys { // a key can be written only when those in its way are gone
		if err := c.write(ctx, each(deletes), nil); err != nil {
			return err
		}
		deletes = nil
	}
	return c.write(ctx, each(append(deletes, puts...)), nil)
}

// each iterates over pairs.
func each(pairs []*kvdb.KVPair) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		for _, pair := range pairs {
			if !yield(pair, nil) {
				return
			}
		}
	}
}

// readAll reads keys of the source, several at a time. The pair of a key that does not exist
// is nil.
func (c *copier) readAll(ctx context.Context, keys []string, pairs []*kvdb.KVPair) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	source := kvdb.WithContext(ctx, c.source)
	next := make(chan int)
	var reading sync.WaitGroup
	workers := tailReads
	if c.o.Workers > 0 {
		workers = c.o.Workers
	}
	var once sync.Once
	var failed error
	for range min(workers, len(keys)) {
		reading.Go(func() {
			for i := range next {
				pair, err := c.read(source, keys[i])
				if err != nil {
					once.Do(func() { failed = err; cancel(err) })
				}
				pairs[i] = pair
			}
		})
	}
	for i := range keys {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	reading.Wait()
	if failed == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return failed
}

// read returns the pair at key with its TTL, or nil if there is none.
func (c *copier) read(source kvdb.Kvdb, key string) (*kvdb.KVPair, error) {
	pair, err := source.Get(key)
	if errors.Is(err, kvdb.ErrNotFound) {
		return nil, nil
	}
	if err != nil || pair.TTL != 0 || c.o.TTL == TTLDrop {
		return pair, err
	}
	remaining, _, err := kvdb.TTLOf(source, key)
	switch {
	case errors.Is(err, kvdb.ErrNotFound):
		return nil, nil
	case errors.Is(err, kvdb.ErrNotSupported): // no pair expires
	case err != nil:
		return nil, err
	}
	pair.TTL = int64((remaining + time.Second - 1) / time.Second)
	return pair, nil
}

// verify compares both sides until a comparison finds no difference and the source did not
// change meanwhile. Pairs that expire may do so: that is no change by a writer.
func (c *copier) verify(ctx context.Context) error {
	c.phase(PhaseVerify)
	wait := retry.Backoff{Min: 10 * time.Millisecond, Max: verifyWait}
	for range verifyPasses {
		c.dirty.addUntold()
		if err := c.drain(ctx); err != nil {
			return err
		}
		puts, deletes := c.dirty.events()
		var found result
		err := c.retrying(ctx, func() (err error) {
			found, err = c.compare(ctx)
			return err
		})
		if err != nil {
			return err
		}
		c.receipt.Passes++
		if ctx.Err() != nil { // without a watch nobody knows whether the source has changed
			return context.Cause(ctx)
		}
		if found.differences == 0 && c.isQuiet(puts, deletes, found.expiring) {
			c.prove(found)
			return c.drain(ctx)
		}
		if wait.Wait(ctx) != nil {
			return context.Cause(ctx)
		}
	}
	return fmt.Errorf("%w: %d comparisons have found changes", ErrChanging, verifyPasses)
}

// isQuiet reports whether there were no events since their numbers were taken, except
// expirations if pairs expire.
func (c *copier) isQuiet(puts, deletes int, expiring bool) bool {
	p, d := c.dirty.events()
	return p == puts && (d == deletes || expiring)
}

// prove records the comparison that has found no difference.
func (c *copier) prove(r result) {
	p := &c.receipt
	p.Source, p.Target, p.Skipped, p.TargetOnly = r.source, r.target, r.skipped, r.targetOnly
	p.SourceIndex, p.TargetIndex = r.sourceIndex, r.targetIndex
	p.NotCarried = c.notCarried(r)
}

// notCarried says what the target does not have.
func (c *copier) notCarried(r result) []string {
	all := []string{
		"indexes: the target's pairs have its own, so a watch from a saved index must start anew",
		"locks that are held at the source",
	}
	if r.targetIndex < r.sourceIndex {
		all = append(all, fmt.Sprintf("fencing tokens: those of the target may be smaller than those of the source, "+
			"whose index is %d (the target's is %d), so what has seen the old ones may refuse the new ones", r.sourceIndex, r.targetIndex))
	}
	if kvdb.LimitsOf(c.source).HiddenUnlisted {
		all = append(all, `keys with a component that begins with "_", which the source does not list`)
	}
	if c.o.TTL == TTLDrop {
		all = append(all, "TTLs: pairs that expired at the source stay at the target")
	}
	if r.skipped > 0 {
		all = append(all, fmt.Sprintf("%d pairs that the target cannot hold", r.skipped))
	}
	return all
}

// cutOver is a running call of Options.CutOver.
type cutOver struct {
	done    chan error // has its result
	running sync.WaitGroup
	over    bool // it has returned nil
}

// result returns the channel that has the result, or nil.
func (o *cutOver) result() <-chan error {
	if o == nil {
		return nil
	}
	return o.done
}

// startCutOver calls CutOver, once.
func (c *copier) startCutOver() {
	if c.o.CutOver == nil || c.cutOver != nil {
		return
	}
	c.cutOver = &cutOver{done: make(chan error, 1)}
	c.cutOver.running.Go(func() { c.cutOver.done <- c.o.CutOver(c.ctx) })
}

// endCutOver waits until CutOver has returned.
func (c *copier) endCutOver() {
	if c.cutOver != nil {
		c.cutOver.running.Wait()
	}
}
