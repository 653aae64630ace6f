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

// stream implements driver.Stream by one blocking query after another. Each returns all
// the pairs, and the events are the differences from what the query before returned.
type stream struct {
	store   *store
	ctx     context.Context
	request driver.WatchRequest

	history *history
	cancel  func()

	known map[string]indexes // key → its indexes in the last reply
	facts []fact             // of the last reply; history has them while Next waits
	index uint64             // of the last reply; 0 to make a query that does not block
	// latest is the largest index of a reply.
	latest uint64
	lost   bool // the connection was lost since the last reply
	// ready has the events that Next has not returned yet.
	ready []*kvdb.KVPair
	idle  retry.Backoff // between replies without changes
	again retry.Backoff // between queries that fail while Consul answers others
}

type indexes struct{ created, modified uint64 }

// Watch implements driver.Store. It returns when the stream knows the present pairs.
func (s *store) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	h := s.history.Load()
	ended, end := h.bind(ctx)
	w := &stream{
		store: s, ctx: ended, request: r, history: h, cancel: end, known: map[string]indexes{},
		// A reply without pairs has the index of all keys, so a write to any key ends the
		// next query at once.
		idle:  retry.Backoff{Min: 10 * time.Millisecond, Max: 250 * time.Millisecond},
		again: retry.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second},
	}
	bounded, cancel := driver.WithTimeLimit(ended, driver.CallTimeout)
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

// query reads the pairs and their index. Unless w.index is 0 it waits until that has
// changed.
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
// can be reached, and makes a query that does not block.
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
		w.request.Observer.Resumed()
		w.learn(pairs, w.deletion(pairs, index))
		if blocked || len(w.ready) > 0 { // otherwise blocking queries may still fail
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
	w.request.Observer.Interrupted(err)
	w.lost, w.index = true, 0
	return nil
}

// reconnect waits until Consul can be reached, and checks whether its history is still
// the same.
func (w *stream) reconnect() error {
	if err := w.again.Wait(w.ctx); err != nil {
		return err
	}
	if err := w.store.conn.Recover(w.ctx, driver.WatchTimeout); err != nil {
		return err
	}
	bounded, cancel := driver.WithTimeLimit(w.ctx, driver.CallTimeout)
	defer cancel()
	err := w.store.verify(bounded, w.history)
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	// Other errors, such as lost permission, come from the next query too.
	w.lost = errors.Is(err, kvdb.ErrNoConnection)
	return nil
}

// contradicted reports whether a reply cannot come from the history that the watch has
// followed. A pair that was not in the last reply has a larger index than all replies
// before, unless the token could not read it then. In that case the watch ends, but the
// history does not.
func (w *stream) contradicted(pairs api.KVPairs, index uint64) bool {
	gained := false // permission to read a key
	for _, p := range pairs {
		known, there := w.known[p.Key]
		switch {
		case there && (fact{p.Key, known, w.latest}).contradicts(p):
			w.store.leave(w.history)
			return true
		case !there && p.ModifyIndex <= w.latest:
			gained = true
		}
	}
	if !w.request.Prefix && len(pairs) == 0 && index < w.latest {
		w.store.leave(w.history)
		return true
	}
	return gained
}

// deletion returns the index of a reply, and for a watched key that was deleted the
// index of the deletion, because that reply has the index of the last write to any key.
func (w *stream) deletion(pairs api.KVPairs, index uint64) uint64 {
	if w.request.Prefix || len(pairs) > 0 || len(w.known) == 0 {
		return index
	}
	ctx, cancel := driver.WithTimeLimit(w.ctx, driver.CallTimeout)
	defer cancel()
	// If this fails the next query does too.
	if _, last, err := w.store.keys(ctx, false, w.request.Key, kvdb.DefaultSeparator); err == nil {
		return min(index, last)
	}
	return index
}

// learn adds the events of the differences between pairs and what is known.
func (w *stream) learn(pairs api.KVPairs, index uint64) {
	now := make(map[string]indexes, len(pairs))
	for _, p := range pairs {
		now[p.Key] = indexes{p.CreateIndex, p.ModifyIndex}
		if w.known[p.Key] != now[p.Key] {
			w.addWrite(p)
		}
	}
	w.addDeletions(now, index)
	slices.SortStableFunc(w.ready, func(a, b *kvdb.KVPair) int { return cmp.Compare(a.ModifiedIndex, b.ModifiedIndex) })
	w.known = now
	w.latest = max(w.latest, index)
	w.facts = factsOf(pairs, w.latest)
	// An index goes back when Consul forgets deletions. Then the next query must not block.
	if index < w.index {
		index = 0
	}
	w.index = index
}

// addWrite adds the event of a key that was written, and before it that of its deletion
// if the key was created again.
func (w *stream) addWrite(p *api.KVPair) {
	before, known := w.known[p.Key]
	recreated := known && before.created != p.CreateIndex
	if recreated {
		// The deletion was immediately before the creation or earlier.
		w.add(&kvdb.KVPair{Key: p.Key, Action: kvdb.KVDelete, ModifiedIndex: p.CreateIndex - 1})
	}
	event := toPair(p, 0)
	event.Action = kvdb.KVSet
	if recreated || !known && p.CreateIndex > w.request.After {
		event.Action = kvdb.KVCreate
	}
	w.add(&event)
}

// addDeletions adds the events of known keys that no longer exist.
func (w *stream) addDeletions(now map[string]indexes, index uint64) {
	deleted := w.deletedBy(now, index)
	for key := range w.known {
		if _, there := now[key]; !there {
			w.add(&kvdb.KVPair{Key: key, Action: kvdb.KVDelete, ModifiedIndex: deleted})
		}
	}
}

// deletedBy returns an index by which all keys that are missing in a reply were deleted.
// That is the index of the reply if it is that of the last deletion. If a write came
// later it is the last index before that is not a write's in the reply, so that a watch
// from there misses nothing.
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

// add adds an event that the watch asked for.
func (w *stream) add(event *kvdb.KVPair) {
	if event.ModifiedIndex > w.request.After {
		event.KVDBIndex = event.ModifiedIndex
		w.ready = append(w.ready, event)
	}
}

// Close implements driver.Stream.
func (w *stream) Close() { w.cancel() }
