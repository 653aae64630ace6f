package transfer

import (
	"bytes"
	"context"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/digest"
)

// markEvery is the number of keys, or of pairs to write, between two keys at which the base pass
// can continue.
const markEvery = 500

// base writes the differences between both sides to the target.
func (c *copier) base(ctx context.Context) error {
	c.phase(PhaseBase)
	if c.limits.NoKeyAboveKeys && c.o.Delete {
		// A key can be written only when those that are in its way are gone.
		if err := c.retrying(ctx, func() error { return c.basePass(ctx, true) }); err != nil {
			return err
		}
	}
	if err := c.retrying(ctx, func() error { return c.basePass(ctx, false) }); err != nil {
		return err
	}
	c.state.Complete, c.state.From = true, nil
	c.saveState(0)
	return nil
}

// position is a place in the sequence of pairs that a base pass writes.
type position struct {
	n   int // the number of pairs before
	key string
}

// basePass compares both sides from where an earlier pass has ended, and writes what differs,
// or only deletes keys. A pair that expires is always written, because not all stores know how
// much of its time is left.
func (c *copier) basePass(ctx context.Context, deletesOnly bool) error {
	keys, n, through := 0, 0, 0 // seen, to be written, written
	var marks []position
	resumable := !deletesOnly && !c.limits.NoKeyAboveKeys
	pairs := func(yield func(*kvdb.KVPair, error) bool) {
		for step, err := range c.steps(ctx, string(c.state.From), true) {
			if err != nil {
				yield(nil, err)
				return
			}
			c.dirty.read(step.New)
			if keys++; keys%markEvery == 0 && n == through && resumable {
				c.state.From = []byte(step.Key())
				c.saveState(saveEvery)
			}
			pair := c.change(step)
			if step.problem != nil && !c.o.Skip {
				err = incompatible(step.Key(), step.problem)
			} else if pair == nil || deletesOnly && pair.Action != kvdb.KVDelete {
				continue
			}
			if n%markEvery == 0 && resumable {
				marks = append(marks, position{n, step.Key()})
			}
			n++
			if !yield(pair, err) {
				return
			}
		}
	}
	return c.write(ctx, pairs, func(w kvdb.Written) {
		through = w.Through
		for len(marks) > 0 && marks[0].n <= through {
			c.state.From = []byte(marks[0].key)
			marks = marks[1:]
		}
		c.saveState(saveEvery)
	})
}

// change returns what the target needs to have what the source has at a key, or nil.
func (c *copier) change(s step) *kvdb.KVPair {
	switch {
	case s.problem != nil:
		return nil
	case s.New != nil:
		want := c.wanted(s.New)
		if want.TTL == 0 && s.Old != nil && s.Old.TTL == 0 && bytes.Equal(s.Old.Value, want.Value) {
			return nil
		}
		return want
	case c.o.Delete:
		return deletion(s.Old.Key)
	}
	return nil
}

// result is what a comparison of both sides has found.
type result struct {
	differences         int
	skipped, targetOnly int
	expiring            bool // a pair of the source has a TTL
	source, target      Sum
	sourceIndex         uint64
	targetIndex         uint64
}

// compare compares both sides. Keys at which they differ become dirty. A pair of the target that
// expires and that the source does not have is no difference: it expired there a moment before.
func (c *copier) compare(ctx context.Context) (r result, err error) {
	source, target := digest.New(), digest.New()
	for step, err := range c.steps(ctx, "", true) {
		if err != nil {
			return result{}, err
		}
		if step.New != nil {
			r.sourceIndex = max(r.sourceIndex, step.New.KVDBIndex)
		}
		if step.Old != nil {
			r.targetIndex = max(r.targetIndex, step.Old.KVDBIndex)
		}
		switch {
		case step.problem != nil && !c.o.Skip:
			return result{}, incompatible(step.Key(), step.problem)
		case step.problem != nil:
			r.skipped++
			continue
		case step.New == nil && !c.o.Delete:
			r.targetOnly++
			continue
		case step.New == nil && step.Old.TTL > 0: // it expired at the source
			c.dirty.add(step.Key())
			continue
		}
		if step.New != nil {
			source.Add(step.New.Key, step.New.Value)
			r.expiring = r.expiring || step.New.TTL > 0
		}
		if step.Old != nil {
			target.Add(step.Old.Key, step.Old.Value)
		}
		if step.New == nil || step.Old == nil || !bytes.Equal(step.New.Value, step.Old.Value) ||
			(step.Old.TTL > 0) != (c.wanted(step.New).TTL > 0) {
			r.differences++
			c.dirty.add(step.Key())
		}
	}
	r.source, r.target = sumOf(source), sumOf(target)
	return r, nil
}
