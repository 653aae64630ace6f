package cache

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/portworx/kvdb"
)

// Change is a change of one key.
type Change struct {
	// Old is the pair before, nil if the key did not exist. New is the pair after, nil if
	// the key was deleted. They are shared: they must not be modified.
	Old, New *kvdb.KVPair
	// Index is the index of the change. Of a deletion that the cache found when it
	// compared itself with the store, it is the index of the comparison.
	Index uint64
	// Generation is that of the state with the change; see [View.Generation].
	Generation uint64

	old, new *entry
}

func (c *Change) key() string {
	if c.new != nil {
		return c.new.pair.Key
	}
	return c.old.pair.Key
}

// Subscribe returns the latest state, and the changes that follow it. The changes come in the
// order of their indexes. Applied to the state, they give each later state that the subscriber
// catches up with.
//
// A subscriber that is slower than the changes delays nobody: the changes of a key that wait
// are folded into one, from the pair that the subscriber knows to the latest one, and a key
// that was created and deleted meanwhile is left out. So at most one change of each key
// waits. Changes with one index, such as those of a transaction on etcd v3, may be folded with
// others, but are never taken apart: they are yielded one after the other.
//
// The iterator can be ranged over once. It ends with the cause of ctx, or [kvdb.ErrClosed]
// at the end of the cache. The subscription ends when the loop or ctx does, so a program that
// does not start the loop must cancel ctx.
func (c *Cache) Subscribe(ctx context.Context) (*View, iter.Seq2[Change, error]) {
	s := &subscription{pending: map[string]Change{}, arrived: make(chan struct{}, 1)}
	c.mu.Lock()
	v := c.view.Load()
	c.subscriptions[s] = struct{}{}
	c.mu.Unlock()
	detach := context.AfterFunc(ctx, func() { c.unsubscribe(s) })
	return v, func(yield func(Change, error) bool) {
		defer detach()
		defer c.unsubscribe(s)
		for {
			changes, err := c.next(ctx, s)
			if err != nil {
				yield(Change{}, err)
				return
			}
			for _, change := range changes {
				if !yield(change, nil) {
					return
				}
			}
		}
	}
}

func (c *Cache) unsubscribe(s *subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.subscriptions, s)
}

// next waits for changes.
func (c *Cache) next(ctx context.Context, s *subscription) ([]Change, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if changes := s.take(); len(changes) > 0 {
			return changes, nil
		}
		select {
		case <-s.arrived:
		case <-ctx.Done():
		case <-c.done:
			return nil, kvdb.ErrClosed
		}
	}
}

// subscription has the changes that wait for a subscriber.
type subscription struct {
	arrived chan struct{} // has an element after pending has changed

	mu      sync.Mutex // protects pending
	pending map[string]Change
}

// add adds the changes that lead to one state from the one before.
func (s *subscription) add(changes []Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, change := range changes {
		key := change.key()
		if waiting, ok := s.pending[key]; ok {
			change.old = waiting.old
		}
		if change.old == nil && change.new == nil {
			delete(s.pending, key)
		} else {
			s.pending[key] = change
		}
	}
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// take removes the changes that wait, and returns them in order.
func (s *subscription) take() []Change {
	s.mu.Lock()
	pending := s.pending
	s.pending = map[string]Change{}
	s.mu.Unlock()
	changes := make([]Change, 0, len(pending))
	for _, change := range pending {
		if change.old != nil {
			change.Old = &change.old.pair
		}
		if change.new != nil {
			change.New = &change.new.pair
		}
		changes = append(changes, change)
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Index, b.Index), strings.Compare(a.key(), b.key()))
	})
	return changes
}
