package consul

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// patience is how long a watch, or who waits for a lock, goes without a reply
// from Consul.
const patience = 50 * time.Second

// stream implements driver.Stream by blocking queries, of which one is under way
// at a time. Each returns what is there now; the events are the differences to
// what was there before.
type stream struct {
	store   *store
	ctx     context.Context
	request driver.WatchRequest

	history *history
	cancel  func()

	known map[string]indexes // key → what the last reply said of it
	facts []fact             // of it; history has them while Next waits
	index uint64             // of the last reply; 0 to look at once what is there
	// latest is the largest index of a reply.
	latest uint64
	lost   bool // the connection, since the last reply
	// ready are events that Next has not returned.
	ready []*kvdb.KVPair
	idle  retry.Backoff // between replies without news
	again retry.Backoff // between queries that fail while Consul answers others
}

type indexes struct{ created, modified uint64 }

// Watch implements driver.Store. The watch knows what is there when it returns.
func (s *store) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	h := s.history.Load()
	ended, end := context.WithCancelCause(ctx)
	detach := context.AfterFunc(h.over, func() { end(kvdb.ErrWatchRevisionCompacted) })
	w := &stream{
		store: s, ctx: ended, request: r, history: h, known: map[string]indexes{},
		// The index of a reply about nothing is that of all keys: it moves, and ends
		// the next query at once, when any key is written.
		idle:  retry.Backoff{Min: 10 * time.Millisecond, Max: 250 * time.Millisecond},
		again: retry.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second},
	}
	w.cancel = func() {
		detach()
		end(nil)
	}
	bounded, cancel := driver.WithTimeLimit(ended, opTimeout)
	defer cancel()
	var pairs api.KVPairs
	var index uint64
	err := s.conn.Call(bounded, conn.Repeatable, func(ctx context.Context, c *api.Client) (err error) {
		pairs, index, err = w.query(ctx, c)
		return err
	})
	if err != nil {
		w.cancel()
		return nil, err
	}
	h.saw(index)
	w.learn(pairs, index)
	if r.After == 0 {
		w.ready = nil
	}
	return w, nil
}

// query asks for what is there once it is newer than index, 0 for now.
func (w *stream) query(ctx context.Context, c *api.Client) (api.KVPairs, uint64, error) {
	q := conn.Consistent(ctx)
	if w.index > 0 {
		q.WaitIndex, q.WaitTime = w.index, conn.MaxWait
	}
	var pairs api.KVPairs
	var meta *api.QueryMeta
	var err error
	if w.request.Prefix {
		pairs, meta, err = c.KV().List(pathOf(w.request.Key), q)
		pairs = values(pairs, w.request.Key)
	} else {
		var pair *api.KVPair
		if pair, meta, err = c.KV().Get(w.request.Key, q); pair != nil && !isLock(pair) {
			pairs = api.KVPairs{pair}
		}
	}
	if err != nil {
		return nil, 0, err
	}
	return pairs, meta.LastIndex, nil
}

// Next implements driver.Stream.
func (w *stream) Next() ([]*kvdb.KVPair, error) {
	defer w.history.note(w, nil)
	for len(w.ready) == 0 {
		w.history.note(w, w.facts)
		if err := w.await(); err != nil {
			return nil, err
		}
	}
	events := w.ready
	w.ready = nil
	return events, nil
}

// await makes one blocking query. When the last one has failed it waits until Consul
// can be reached, and looks what is there.
func (w *stream) await() error {
	if w.lost {
		if err := w.reconnect(); err != nil || w.lost {
			return err
		}
	}
	blocked := w.index > 0
	var pairs api.KVPairs
	var index uint64
	err := w.store.conn.Block(w.ctx, func(ctx context.Context, c *api.Client) (err error) {
		pairs, index, err = w.query(ctx, c)
		return err
	})
	switch {
	case err == nil:
		if w.contradicted(pairs, index) {
			return kvdb.ErrWatchRevisionCompacted
		}
		w.learn(pairs, w.deletion(pairs, index))
		if blocked || len(w.ready) > 0 { // else Consul may refuse still to wait for news
			w.again.Reset()
		}
		if len(w.ready) == 0 {
			return w.idle.Wait(w.ctx)
		}
		w.idle.Reset()
		return nil
	case w.ctx.Err() != nil:
		return context.Cause(w.ctx)
	case errors.Is(err, conn.ErrLookAgain):
		w.index = 0
		return nil
	case !errors.Is(err, kvdb.ErrNoConnection):
		return err
	}
	w.lost, w.index = true, 0
	return nil
}

// reconnect waits until Consul can be reached, and looks whether its history is
// the same.
func (w *stream) reconnect() error {
	if err := w.again.Wait(w.ctx); err != nil {
		return err
	}
	if err := w.store.conn.Recover(w.ctx, patience); err != nil {
		return err
	}
	bounded, cancel := driver.WithTimeLimit(w.ctx, opTimeout)
	defer cancel()
	err := w.store.verify(bounded, w.history)
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	// A watch that may no longer read what it knew learns of that by its own query.
	w.lost = errors.Is(err, kvdb.ErrNoConnection)
	return nil
}

// contradicted reports whether a reply cannot come from the history that the watch
// has followed. What is there and was not before has a larger index than all
// replies before, unless the token might not read it: that ends this watch alone.
func (w *stream) contradicted(pairs api.KVPairs, index uint64) bool {
	mine := true
	for _, p := range pairs {
		known, there := w.known[p.Key]
		switch {
		case there && (fact{p.Key, known, w.latest}).contradicts(p):
			w.store.leave(w.history)
			return true
		case !there && p.ModifyIndex <= w.latest:
			mine = false
		}
	}
	if !w.request.Prefix && len(pairs) == 0 && index < w.latest {
		w.store.leave(w.history)
		return true
	}
	return !mine
}

// deletion returns the index of the deletion when the watched key is gone: the
// reply about it has that of the last write to any key. Otherwise, and when that
// cannot be found out, it returns index.
func (w *stream) deletion(pairs api.KVPairs, index uint64) uint64 {
	if w.request.Prefix || len(pairs) > 0 || len(w.known) == 0 {
		return index
	}
	ctx, cancel := driver.WithTimeLimit(w.ctx, opTimeout)
	defer cancel()
	// When it fails the next query does too.
	_ = w.store.conn.Call(ctx, conn.Repeatable, func(ctx context.Context, c *api.Client) error {
		_, meta, err := c.KV().Keys(w.request.Key, kvdb.DefaultSeparator, conn.Consistent(ctx))
		if err == nil {
			index = min(index, meta.LastIndex)
		}
		return err
	})
	return index
}

// learn makes events of the differences between pairs and what is known.
func (w *stream) learn(pairs api.KVPairs, index uint64) {
	now := make(map[string]indexes, len(pairs))
	for _, p := range pairs {
		now[p.Key] = indexes{p.CreateIndex, p.ModifyIndex}
		if w.known[p.Key] != now[p.Key] {
			w.tellWritten(p)
		}
	}
	w.tellDeleted(now, index)
	slices.SortStableFunc(w.ready, func(a, b *kvdb.KVPair) int { return cmp.Compare(a.ModifiedIndex, b.ModifiedIndex) })
	w.known = now
	w.latest = max(w.latest, index)
	w.facts = factsOf(pairs, w.latest)
	// An index goes back when Consul forgets deletions: begin anew.
	if index < w.index {
		index = 0
	}
	w.index = index
}

// tellWritten makes the event of a key that was written, and before it one of its
// deletion when it is not the same pair any more.
func (w *stream) tellWritten(p *api.KVPair) {
	before, known := w.known[p.Key]
	reborn := known && before.created != p.CreateIndex
	if reborn {
		// It was deleted at the latest right before.
		w.tell(&kvdb.KVPair{Key: p.Key, Action: kvdb.KVDelete, ModifiedIndex: p.CreateIndex - 1})
	}
	event := toPair(p, 0)
	event.Action = kvdb.KVSet
	if reborn || !known && p.CreateIndex > w.request.After {
		event.Action = kvdb.KVCreate
	}
	w.tell(&event)
}

// tellDeleted makes the events of keys that are not there any more.
func (w *stream) tellDeleted(now map[string]indexes, index uint64) {
	deleted := w.deletedBy(now, index)
	for key := range w.known {
		if _, there := now[key]; !there {
			w.tell(&kvdb.KVPair{Key: key, Action: kvdb.KVDelete, ModifiedIndex: deleted})
		}
	}
}

// deletedBy returns an index by which all keys were deleted that are gone in a
// reply: its own, which is that of the last deletion, unless a write came later.
// Then it is the last one before that is no write's in the reply, so that a watch
// that goes on from there misses none.
func (w *stream) deletedBy(now map[string]indexes, index uint64) uint64 {
	writes := map[uint64]bool{}
	for _, i := range now {
		writes[i.modified] = true
	}
	for i := index; i > w.latest; i-- {
		if !writes[i] {
			return i
		}
	}
	return max(index, w.latest) // in one transaction with a write, or the index went back
}

func (w *stream) tell(event *kvdb.KVPair) {
	if event.ModifiedIndex > w.request.After {
		event.KVDBIndex = event.ModifiedIndex
		w.ready = append(w.ready, event)
	}
}

// Close implements driver.Stream.
func (w *stream) Close() { w.cancel() }
