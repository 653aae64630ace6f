package consul

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

// maxFacts is how many facts a watch keeps of what changed last, and how many of
// the rest. maxFactSize keeps small what is read to check them: it is the most that a
// key and its value have, in bytes.
const (
	maxFacts    = 16
	maxFactSize = 1 << 10
)

// history is what an instance has seen of the store. It is over when an answer
// contradicts that, because the store was restored from a backup or wiped, or
// another one is behind the endpoints: watches end with
// kvdb.ErrWatchRevisionCompacted then, and locks are lost.
type history struct {
	seen atomic.Uint64 // the largest index that a reply had so far
	over context.Context
	end  context.CancelFunc

	checking chan struct{} // has an element while verify runs
	checked  time.Time     // when the last verify that found nothing began; protected by checking

	mu      sync.Mutex     // protects what is below
	facts   map[any][]fact // by the watch, lease or call that waits for news, which they are of
	turn    bool           // of sample
	missing fact           // whose key the last probe did not find
}

// fact is what a reply said of a key. From the state of index on it was so.
type fact struct {
	key string
	indexes
	index uint64
}

func newHistory() *history {
	h := &history{checking: make(chan struct{}, 1), facts: map[any][]fact{}}
	h.over, h.end = context.WithCancel(context.Background())
	return h
}

// contradicts reports whether a key cannot have now what p says, because what it
// has other than before it must have got later.
func (f fact) contradicts(p *api.KVPair) bool {
	now := indexes{p.CreateIndex, p.ModifyIndex}
	return now != f.indexes && (now.modified <= f.index || now.created != f.created && now.created <= f.index)
}

// factsOf returns facts of a reply that had the index.
func factsOf(pairs api.KVPairs, index uint64) (facts []fact) {
	pairs = slices.DeleteFunc(slices.Clone(pairs), func(p *api.KVPair) bool { return len(p.Key)+len(p.Value) > maxFactSize })
	slices.SortFunc(pairs, func(a, b *api.KVPair) int { return cmp.Compare(b.ModifyIndex, a.ModifyIndex) })
	for i, p := range pairs {
		// The latest changes, and some of all ages.
		if step := len(pairs)/maxFacts + 1; i < maxFacts || i%step == 0 {
			facts = append(facts, fact{p.Key, indexes{p.CreateIndex, p.ModifyIndex}, index})
		}
	}
	return facts
}

// note replaces the facts of a watch, a lease or a waiting call; none remove them.
func (h *history) note(of any, facts []fact) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if facts == nil {
		delete(h.facts, of)
	} else {
		h.facts[of] = facts
	}
}

// known returns facts of different keys, as many as a transaction has operations
// at most.
func (h *history) known() map[string]fact {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := map[string]fact{}
	for i := range 2 * maxFacts { // some of each watch
		for _, facts := range h.facts {
			if i < len(facts) && len(known) < conn.MaxOps {
				known[facts[i].key] = facts[i]
			}
		}
	}
	return known
}

// sample returns the fact about the latest change, or any, by turns: one is
// likely to be of another history, the others are not left out. It returns again the
// fact whose key was missing, if that is still known.
func (h *history) sample() (sample fact, again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	missing := h.missing
	h.missing = fact{}
	for _, facts := range h.facts {
		if slices.Contains(facts, missing) {
			return missing, true
		}
	}
	h.turn = !h.turn
	for _, facts := range h.facts {
		if h.turn {
			return facts[rand.IntN(len(facts))], false
		}
		if facts[0].modified > sample.modified {
			sample = facts[0]
		}
	}
	return sample, false
}

// miss says that the key of a fact is not there.
func (h *history) miss(f fact) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.missing = f
}

func (h *history) saw(index uint64) {
	for {
		seen := h.seen.Load()
		if index <= seen || h.seen.CompareAndSwap(seen, index) {
			return
		}
	}
}

// mark is what was seen when a request began: its answer is not older. The index of
// the answer counts for the history of that time, because it may come from a store
// that others have seen the end of meanwhile.
type mark struct {
	store   *store
	history *history
	seen    uint64
}

func (s *store) mark() mark {
	h := s.history.Load()
	return mark{s, h, h.seen.Load()}
}

// wrote takes the index that a write has got, which is larger than all that were
// seen when it began.
func (m mark) wrote(index uint64) {
	if index <= m.seen {
		m.store.leave(m.history)
	}
	m.history.saw(index)
}

// found takes the index of a linearizable answer about one key. When that is not
// there it is the index of all keys.
func (m mark) found(p *api.KVPair, index uint64) {
	if p == nil && index < m.seen {
		m.store.leave(m.history)
	}
}

// leave ends a history.
func (s *store) leave(h *history) {
	if !s.history.CompareAndSwap(h, newHistory()) {
		return
	}
	h.end()
	s.locks.abandon()
	s.writer.abandon()
	s.conn.Interrupt()
}

// verify looks whether the store still has the history, after a connection was
// lost: another one may be ahead of what was seen, so that its indexes tell
// nothing, but then it has keys that are as they cannot have become.
func (s *store) verify(ctx context.Context, h *history) error {
	asked := time.Now()
	select {
	case h.checking <- struct{}{}:
		defer func() { <-h.checking }()
	case <-ctx.Done():
		return driver.NotReached(ctx, driver.ErrTimeLimit)
	}
	if h.checked.After(asked) {
		return nil
	}
	began := time.Now()
	if _, _, err := s.read(ctx, conn.PingKey, false); err != nil && !conn.IsForbidden(err) {
		return err
	}
	var ops api.TxnOps
	known := h.known()
	for key := range known {
		ops = append(ops, op(api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: key}))
	}
	if len(ops) > 0 {
		pairs, err := s.conn.Txn(ctx, conn.Repeatable, ops)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if p.ModifyIndex != 0 && known[p.Key].contradicts(p) {
				s.leave(h)
			}
		}
	}
	h.checked = began
	return nil
}

// probe is ping, and looks whether the store still has the history: whether a
// key is as it was. When it is gone, and whoever waits for news of it has none until
// the next probe, all blocking queries are made anew, because a key that a restore has
// removed ends none of them.
func (s *store) probe(ctx context.Context, c *api.Client) error {
	m := s.mark()
	sample, again := m.history.sample()
	key := cmp.Or(sample.key, conn.PingKey)
	p, meta, err := c.KV().Get(key, conn.Consistent(ctx))
	switch {
	case conn.IsForbidden(err):
		return nil
	case err != nil:
		return err
	}
	m.found(p, meta.LastIndex)
	switch {
	case sample.key == "":
	case p == nil:
		m.history.miss(sample)
		if again {
			s.conn.Interrupt()
		}
	case sample.contradicts(p):
		s.leave(m.history)
	}
	return nil
}
