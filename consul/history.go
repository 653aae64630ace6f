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

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

const (
	// maxFacts is how many facts a watch keeps of the latest changes, and how many of the
	// other pairs.
	maxFacts = 16
	// maxFactSize is the largest size of a key and its value, in bytes, of which a fact is
	// kept, so that the replies to verify are small.
	maxFactSize = 1 << 10
)

// history is what an instance has seen of the store. It ends when an answer contradicts
// that, because the store was restored from a backup or wiped, or because the endpoints
// belong to another one. Then watches end with kvdb.ErrWatchRevisionCompacted, and locks
// are lost.
type history struct {
	seen atomic.Uint64 // the largest index of a reply
	over context.Context
	end  context.CancelFunc

	checking chan struct{} // has an element while verify runs
	checked  time.Time     // when the last verify that found nothing began; protected by checking

	mu      sync.Mutex     // protects what is below
	facts   map[any][]fact // by the watch, lease or call that blocks on these keys
	random  bool           // the last sample was a random one
	missing fact           // whose key did not exist at the last probe
}

// fact records the indexes that a key had in a reply, and the index of that reply.
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

// contradicts reports whether p, which is what the key is now, contradicts f. It does if
// an index has changed since and is not larger than the index of the reply.
func (f fact) contradicts(p *api.KVPair) bool {
	now := indexes{p.CreateIndex, p.ModifyIndex}
	return now != f.indexes && (now.modified <= f.index || now.created != f.created && now.created <= f.index)
}

// factsOf returns facts from a reply that had the index.
func factsOf(pairs api.KVPairs, index uint64) (facts []fact) {
	pairs = slices.DeleteFunc(slices.Clone(pairs), func(p *api.KVPair) bool { return len(p.Key)+len(p.Value) > maxFactSize })
	slices.SortFunc(pairs, func(a, b *api.KVPair) int { return cmp.Compare(b.ModifyIndex, a.ModifyIndex) })
	for i, p := range pairs {
		// The latest changes, and a selection of the others.
		if step := len(pairs)/maxFacts + 1; i < maxFacts || i%step == 0 {
			facts = append(facts, fact{p.Key, indexes{p.CreateIndex, p.ModifyIndex}, index})
		}
	}
	return facts
}

// note replaces the facts of a watch, a lease or a blocked call; nil removes them.
func (h *history) note(of any, facts []fact) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if facts == nil {
		delete(h.facts, of)
	} else {
		h.facts[of] = facts
	}
}

// known returns facts by key, not more than a transaction has operations.
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

// sample alternates between the fact about the latest change, which another history most
// likely contradicts, and a random one. After miss it returns that fact again, if it is
// still known, and true.
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
	h.random = !h.random
	for _, facts := range h.facts {
		if h.random {
			return facts[rand.IntN(len(facts))], false
		}
		if facts[0].modified > sample.modified {
			sample = facts[0]
		}
	}
	return sample, false
}

// miss notes that the key of a fact does not exist.
func (h *history) miss(f fact) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.missing = f
}

// bind returns a context that also ends, with the cause kvdb.ErrWatchRevisionCompacted,
// when h is over.
func (h *history) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	detach := context.AfterFunc(h.over, func() { end(kvdb.ErrWatchRevisionCompacted) })
	return ctx, func() { detach(); end(nil) }
}

// saw notes the index of a reply.
func (h *history) saw(index uint64) {
	for {
		seen := h.seen.Load()
		if index <= seen || h.seen.CompareAndSwap(seen, index) {
			return
		}
	}
}

// mark is what was seen when a request began, so its answer is not older. The index of
// the answer belongs to the history of that time, because that may have ended while the
// request ran.
type mark struct {
	store   *store
	history *history
	seen    uint64
}

func (s *store) mark() mark {
	h := s.history.Load()
	return mark{s, h, h.seen.Load()}
}

// wrote notes the index of a write. In the same history it is larger than all indexes
// seen when the write began.
func (m mark) wrote(index uint64) {
	if index <= m.seen {
		m.store.leave(m.history)
	}
	m.history.saw(index)
}

// found checks the index of a linearizable answer about one key. If the key does not
// exist it is the index of all keys, which never goes back in the same history.
func (m mark) found(p *api.KVPair, index uint64) {
	if p == nil && index < m.seen {
		m.store.leave(m.history)
	}
}

// leave ends a history and begins another one.
func (s *store) leave(h *history) {
	if !s.history.CompareAndSwap(h, newHistory()) {
		return
	}
	h.end()
	s.locks.abandon()
	s.writer.abandon()
	s.conn.Interrupt()
}

// verify checks whether the store still has the history, after a connection was lost.
// Another history may have larger indexes than all that were seen, so verify reads the
// keys of the known facts and leaves the history if one contradicts its fact.
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

// probe is the probe of conn.New. It reads the key of a sample, and leaves the history if
// what it finds contradicts that. If the key does not exist at two probes in a row, and
// the blocking query about it has not ended, probe ends all blocking queries, because the
// removal of a key by a restore ends none.
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
