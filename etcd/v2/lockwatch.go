package etcdv2

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

const (
	// watchAfter is how long a lock is held before it is watched, so that one that is
	// held for less costs no more than the requests that obtain and release it.
	watchAfter = 100 * time.Millisecond
	// watchLinger is how long the watch stays when no lock is held.
	watchLinger = 16 * time.Second
)

// lockWatch watches the nodes of the locks that an instance holds. One stream of events
// serves all of them. A user who may not read the locks of others has a stream for each.
type lockWatch struct {
	store *store

	mu      sync.Mutex // protects what is below
	leases  map[*lease]struct{}
	upTo    uint64             // leases have all events up to this index
	end     context.CancelFunc // ends the stream; nil without one
	idle    *time.Timer        // ends the stream when there have been no leases for watchLinger
	refused bool               // the user may not read the locks of others
}

func newLockWatch(s *store) *lockWatch {
	w := &lockWatch{store: s, leases: map[*lease]struct{}{}}
	w.idle = time.AfterFunc(watchLinger, w.endIdle)
	return w
}

// add begins to watch a lock.
func (w *lockWatch) add(l *lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.Context().Err() != nil { // remove was called, or will be
		return
	}
	if w.refused || l.isHidden() {
		w.watchAlone(l)
		return
	}
	w.idle.Stop()
	w.leases[l] = struct{}{}
	if w.end != nil {
		if w.upTo > l.Token() {
			l.check()
		}
		return
	}
	var ctx context.Context
	ctx, w.end = context.WithCancel(w.store.life.Context())
	w.store.life.Go(func() { w.run(ctx) })
}

// remove ends the watch of a lock.
func (w *lockWatch) remove(l *lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.leases, l)
	if len(w.leases) == 0 && w.end != nil {
		w.idle.Reset(watchLinger)
	}
}

func (w *lockWatch) endIdle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.leases) == 0 && w.end != nil {
		w.end()
		w.end = nil
	}
}

// run watches all locks until ctx ends. If the user has no permission for that it watches
// each lock alone.
func (w *lockWatch) run(ctx context.Context) {
	err := w.store.watchLocks(ctx, driver.WatchRequest{Key: locksDir + "/", Prefix: true}, w.since)
	if codeOf(err) != client.ErrorCodeUnauthorized {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = true
	for l := range w.leases {
		w.watchAlone(l)
	}
	clear(w.leases)
}

// since returns the locks to which events up to an index are delivered.
func (w *lockWatch) since(index uint64) []*lease {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upTo = index
	return slices.Collect(maps.Keys(w.leases))
}

// watchAlone watches a lock with a stream of its own, as long as it is held.
func (w *lockWatch) watchAlone(l *lease) {
	w.store.life.Go(func() {
		// If the user has no permission for that, the requests of keepAlive show whether the
		// lock is still held.
		_ = w.store.watchLocks(l.Context(), driver.WatchRequest{Key: l.key()}, func(uint64) []*lease { return []*lease{l} })
	})
}

// watchLocks delivers the events of a watch to leases, until ctx ends or etcd refuses it.
// leases returns those that get the events up to an index.
func (s *store) watchLocks(ctx context.Context, r driver.WatchRequest, leases func(upTo uint64) []*lease) error {
	backoff := newBackoff()
	for {
		err := s.watchLocksOnce(ctx, r, leases)
		if codeOf(err) == client.ErrorCodeUnauthorized || backoff.Wait(ctx) != nil {
			return err
		}
	}
}

func (s *store) watchLocksOnce(ctx context.Context, r driver.WatchRequest, leases func(upTo uint64) []*lease) error {
	w, err := s.watch(ctx, r)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, l := range leases(w.listed) { // what happened before the watch began
		l.check()
	}
	for {
		events, err := w.Next()
		for _, event := range events {
			for _, l := range leases(event.ModifiedIndex) {
				l.notice(event)
			}
		}
		if err != nil {
			return err
		}
	}
}

// key returns the key of the lock's node.
func (l *lease) key() string { return strings.TrimPrefix(l.path, "/") }

// isHidden reports whether events of the directory of locks leave the lock's node out.
func (l *lease) isHidden() bool { return isHidden(l.key(), locksDir+"/") }

// check makes keepAlive check at once whether the lock is still held.
func (l *lease) check() {
	select {
	case l.checks <- struct{}{}:
	default:
	}
}

// notice handles an event of the node of any lock. The requests of keepAlive cause none.
func (l *lease) notice(event *kvdb.KVPair) {
	if event.Key == l.key() && event.ModifiedIndex > l.Token() && string(event.Value) != l.value {
		l.Gone()
	}
}
