package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// watch is one watch on the hub. It implements driver.Stream.
type watch struct {
	h          *hub
	ctx        context.Context // the end of the watch
	keys       keyRange
	observer   *driver.WatchObserver // nil for a watch of the library's own
	generation int                   // of the store's history
	once       bool
	made       int64 // with once: the number of connections that had been made before it
	// wake has an element when something changed that take or await waits for.
	wake chan struct{}

	// The hub's mutex protects these.
	next     int64           // the revision after the last one that is queued completely; 0 is the one after the current revision
	after    int64           // events up to this revision are dropped
	queue    []*mvccpb.Event // for Next
	queued   int             // bytes in queue
	tail     []*mvccpb.Event // of the last revision, until its other fragments arrive
	known    bool            // whether the server has created it on some stream
	live     bool            // whether the server has created it on the hub's stream
	id       int64           // on the hub's stream, while live
	creation *creation       // the request to create it that is not answered yet, or nil
	asked    bool            // whether the server was asked for its progress and has sent no event since
	busy     bool            // whether events arrived since the last ping
	paused   bool            // whether it is off the stream until Next has emptied queue
	err      error           // not nil when the watch has ended

	// Only Next uses these; one goroutine calls it.
	prefix string
	locks  map[string]struct{} // the keys in the lock range that are known to hold locks
}

// detach removes the watch from the stream. The caller holds the hub's mutex.
func (w *watch) detach() {
	w.live, w.asked, w.busy, w.tail = false, false, false, nil
	if w.creation != nil {
		w.creation.watch, w.creation = nil, nil
	}
}

func (w *watch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// push queues the events of a message. When more fragments follow, it keeps back
// the events of the last revision, so that a watch never resumes in the middle of a
// revision. The caller holds the hub's mutex.
func (w *watch) push(m *pb.WatchResponse) {
	events := m.Events
	w.asked, w.busy = false, true
	if len(w.tail) > 0 {
		events = append(w.tail, events...)
		w.tail = nil
	}
	last := events[len(events)-1].Kv.ModRevision
	if m.Fragment {
		cut := slices.IndexFunc(events, func(e *mvccpb.Event) bool { return e.Kv.ModRevision == last })
		events, w.tail = events[:cut:cut], events[cut:]
		last--
	}
	events = slices.DeleteFunc(events, func(e *mvccpb.Event) bool { return e.Kv.ModRevision <= w.after })
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		w.queued += len(e.Kv.Key) + len(e.Kv.Value)
	}
	w.queue = append(w.queue, events...)
	w.observer.Queued(len(w.queue))
	w.next = last + 1
	w.signal()
}

// start is where a watch begins: after a revision, in a generation of the store's
// history. With fromNow it also skips the events before the watch is registered.
//
// A watch with once ends with errInterrupted instead of moving to another stream, or if it
// is registered after another connection was made than the first made ones.
type start struct {
	after      int64
	generation int
	fromNow    bool
	once       bool
	made       int64
}

// errInterrupted is the end of a watch that does not move to another stream.
var errInterrupted = errors.New("the watch was interrupted")

// newWatch returns a watch, which may not be registered yet, or nil after Close. o, which
// may be nil, is told about it.
func (s *store) newWatch(ctx context.Context, keys keyRange, from start, o *driver.WatchObserver) *watch {
	w := &watch{
		h: s.hub, ctx: ctx, keys: keys, observer: o, wake: make(chan struct{}, 1),
		generation: from.generation, once: from.once, made: from.made, after: from.after, next: from.after + 1,
	}
	if from.fromNow {
		w.next = 0
	}
	if !s.hub.add(w) {
		return nil
	}
	return w
}

func (s *store) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	starting, cancel := driver.WithTimeLimit(ctx, driver.CallTimeout)
	defer cancel()
	for {
		w, err := s.register(ctx, starting, r)
		if r.After == 0 && errors.Is(err, kvdb.ErrWatchRevisionCompacted) && starting.Err() == nil {
			continue // The watch has not started, so it may start at a later revision.
		}
		if err != nil {
			return nil, err
		}
		return w, nil
	}
}

// register returns a watch when the server has registered it, or an error when
// starting ends first. When the events of a watch are compacted, Next returns the
// error; for a watch from now on, register returns it.
func (s *store) register(ctx, starting context.Context, r driver.WatchRequest) (*watch, error) {
	keys := keyRange{key: []byte(r.Key)}
	if r.Prefix {
		keys = below(r.Key)
	}
	from := start{generation: s.history.now().generation, after: int64(min(r.After, driver.NoIndex-1)), fromNow: r.After == 0}
	if from.fromNow {
		// Read the current revision linearizably, because the member that serves the
		// watch may lag behind and would send earlier writes.
		reply, err := s.rangeOf(starting, &pb.RangeRequest{Key: keys.key, RangeEnd: keys.end, CountOnly: true})
		if err != nil {
			return nil, err
		}
		from.after = reply.Header.Revision
	}
	w := s.newWatch(ctx, keys, from, r.Observer)
	if w == nil {
		return nil, kvdb.ErrClosed
	}
	if r.Prefix {
		w.prefix = r.Key
		if _, overlap := s.lockRange(r.Key); overlap {
			w.locks = map[string]struct{}{}
		}
	}
	err := w.await(starting)
	if err == nil || !from.fromNow && errors.Is(err, kvdb.ErrWatchRevisionCompacted) {
		return w, nil
	}
	w.Close()
	return nil, err
}

// await waits until the watch is registered.
func (w *watch) await(ctx context.Context) error {
	for {
		w.h.mu.Lock()
		live, err := w.live || len(w.queue) > 0 || w.paused, w.err
		w.h.mu.Unlock()
		if live {
			w.signal() // There may be events for take.
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return driver.NotReached(ctx, errors.New("etcd did not register the watch in time"))
		}
	}
}

// take waits for events and returns them.
func (w *watch) take() ([]*mvccpb.Event, error) {
	for {
		w.h.mu.Lock()
		events, err := w.queue, w.err
		w.queue, w.queued = nil, 0
		w.observer.Queued(0)
		if w.paused && err == nil {
			w.paused = false
			w.h.create(w)
		}
		w.h.mu.Unlock()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-w.wake:
		case <-w.ctx.Done():
			return nil, context.Cause(w.ctx)
		}
	}
}

// Next implements driver.Stream.
func (w *watch) Next() ([]*kvdb.KVPair, error) {
	for {
		events, err := w.take()
		pairs := make([]*kvdb.KVPair, 0, len(events))
		for _, e := range events {
			hidden, lookupErr := w.hidden(e)
			if lookupErr != nil {
				// A watch resumes after a revision, so it must not see a part of one.
				return slices.DeleteFunc(pairs, func(pair *kvdb.KVPair) bool { return pair.ModifiedIndex == uint64(e.Kv.ModRevision) }), lookupErr
			}
			if !hidden {
				pairs = append(pairs, eventPair(e))
			}
		}
		if len(pairs) > 0 || err != nil {
			return pairs, err
		}
	}
}

// Close implements driver.Stream.
func (w *watch) Close() { w.h.remove(w) }

func eventPair(e *mvccpb.Event) *kvdb.KVPair {
	pair := keyedPair(string(e.Kv.Key), e.Kv, e.Kv.ModRevision)
	switch {
	case e.Type == mvccpb.DELETE:
		pair.Action, pair.Value = kvdb.KVDelete, nil
	case e.Kv.CreateRevision == e.Kv.ModRevision:
		pair.Action = kvdb.KVCreate
	default:
		pair.Action = kvdb.KVSet
	}
	return pair
}

// hidden reports whether an event must not be delivered, because its key is a
// snapshot's marker or a lock.
func (w *watch) hidden(e *mvccpb.Event) (bool, error) {
	if isMarker(e.Kv.Key) {
		return true, nil
	}
	if w.locks == nil || !strings.HasPrefix(string(e.Kv.Key), w.h.s.locks) {
		return false, nil
	}
	key := string(e.Kv.Key)
	_, known := w.locks[key]
	if e.Type == mvccpb.DELETE {
		delete(w.locks, key)
		if known {
			return true, nil
		}
		return w.wasLock(e.Kv)
	}
	lock := w.h.s.isLock(e.Kv)
	if lock {
		w.locks[key] = struct{}{}
	} else {
		delete(w.locks, key)
	}
	return lock, nil
}

// wasLock reports whether a deleted key, whose creation the watch has not seen, was
// a lock. It retries for driver.WatchTimeout, as the watch itself does.
func (w *watch) wasLock(kv *mvccpb.KeyValue) (bool, error) {
	deadline := time.Now().Add(driver.WatchTimeout)
	backoff := newBackoff()
	for {
		reply, err := w.h.s.rangeOf(w.ctx, &pb.RangeRequest{Key: kv.Key, Revision: kv.ModRevision - 1})
		switch {
		case errors.Is(err, kvdb.ErrWatchRevisionCompacted):
			return false, nil // It is not known any more; an extra event is better than a missing one.
		case err == nil:
			return len(reply.Kvs) > 0 && w.h.s.isLock(reply.Kvs[0]), nil
		case !errors.Is(err, kvdb.ErrNoConnection) || time.Now().After(deadline) || backoff.Wait(w.ctx) != nil:
			return false, fmt.Errorf("look up what was deleted: %w", err)
		}
	}
}
