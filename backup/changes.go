package backup

import (
	"bytes"
	"errors"
	"iter"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/fit"
	"github.com/portworx/kvdb/internal/merge"
)

// changes are the writes that make the store what the backup asks for.
type changes struct {
	*restore
	phase    Phase
	differs  func(key string) // is called with the keys that have another value
	restored Restored
	plan     *plan
	pairs    int // read from the backup, and their size
	bytes    int64
}

// all iterates over the writes, as kvdb.PutMany takes them, and counts them.
func (c *changes) all() iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		c.plan = c.newPlan()
		store := pairsOf(c.ctx, c.kv, c.prefixes)
		for sides, err := range merge.Pairs(store, c.wanted()) {
			var write *kvdb.KVPair
			if err == nil {
				write, err = c.change(sides.Old, sides.New)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if write != nil && !yield(write, nil) {
				return
			}
		}
		c.report(c.phase, c.pairs, c.bytes)
	}
}

// wanted iterates over the pairs of the backup that are to be in the store, with the TTLs that
// they are to have.
func (c *changes) wanted() iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		for pair, err := range verifiedPairs(c.r, c.verified) {
			if err != nil {
				yield(nil, err)
				return
			}
			if c.pairs, c.bytes = c.pairs+1, c.bytes+size(pair); c.pairs%reportPairs == 0 {
				c.report(c.phase, c.pairs, c.bytes)
			}
			if !hasPrefix(pair.Key, c.prefixes) {
				continue
			}
			c.restored.Pairs++
			ttl, expired, err := c.plan.of(pair)
			switch {
			case expired:
				c.restored.Expired++
			case err != nil:
				pair.Action = skipped
				fallthrough
			default:
				pair.TTL = ttl
				if !yield(pair, nil) {
					return
				}
			}
		}
	}
}

// skipped is the Action of a pair that the store cannot hold. Its key is in the backup, so it is
// not pruned.
const skipped = kvdb.KVUknown

// change returns the write for a key, or nil. old is the pair of the store, and pair is that of
// the backup. One of them may be nil.
func (c *changes) change(old, pair *kvdb.KVPair) (*kvdb.KVPair, error) {
	switch {
	case pair != nil && pair.Action == skipped:
		c.restored.Skipped++
		return nil, nil
	case pair == nil && !c.o.Prune:
		c.restored.Others++
		return nil, nil
	case pair == nil:
		c.restored.Deleted++
		return &kvdb.KVPair{Key: old.Key, Action: kvdb.KVDelete}, nil
	case old == nil && c.limits.HiddenUnlisted && fit.HasHidden(pair.Key):
		var err error
		if old, err = c.kv.Get(pair.Key); errors.Is(err, kvdb.ErrNotFound) {
			old = nil
		} else if err != nil {
			return nil, err
		}
	}
	switch {
	case old == nil:
		c.restored.Created++
	case bytes.Equal(old.Value, pair.Value) && (old.TTL > 0) == (pair.TTL > 0):
		c.restored.Unchanged++
		return nil, nil
	case c.o.OnlyMissing:
		c.restored.Kept++
		return nil, nil
	default:
		c.restored.Overwritten++
		c.differs(pair.Key)
	}
	return pair, nil
}
