package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

const (
	// watchSessionTimeout is the timeout of the session of the watches. A short one detects a
	// dead server early, and nothing is lost with the session.
	watchSessionTimeout = 9 * time.Second
	// maxIdle is how many watches that nobody needs may be at the server, in addition to two
	// for each path that is watched.
	maxIdle = 10000
)

// hub has the session of an instance's watches. The session has one connection. When that is
// lost, a new session takes its place, and everything is watched anew: the watchers compare what
// they read with what they knew. So the watches of the lost connection do not matter. (ZooKeeper's
// client would set them again on another connection, with a zxid that may be too new by then.)
type hub struct {
	s       *store
	config  config
	maxIdle int
	start   sync.Once
	mark    mark // belongs to run

	mu            sync.Mutex    // protects what is below
	current       *session      // nil: there is none at the moment
	changed       chan struct{} // closed and replaced when current changes
	watchers      map[watcher]struct{}
	paths         map[string]map[watcher]struct{} // the watchers of each path
	serverWatches map[serverWatch]*watchState     // of the current session
	seen          int64                           // the largest zxid of the last session
	locks         int                             // number of the locks' session when the last session ended
	giveUp        *time.Timer                     // runs giveUpWatches, while there is no session
}

// watcher receives events. Its methods must not block, nor call the hub.
type watcher interface {
	// fired gets an event of a path that it has subscribed to.
	fired(path string, event zk.EventType)
	// broken is called when all watches at the server are gone. cause is not nil if the
	// connection was lost.
	broken(cause error)
	// failed is called when the store could not be reached for driver.WatchTimeout, or its history has gone back.
	failed(err error)
}

// session is a session with one connection.
type session struct {
	*conn.Conn
	ctx   context.Context         // ends when another session is to take its place
	end   context.CancelCauseFunc // ends ctx; the cause is errLost if the connection was lost
	began bool                    // it had a connection; belongs to onEvent
}

// errLost is the cause of the end of a session whose connection was lost.
var errLost = errors.New("the connection was lost")

// serverWatch is a watch at the server, which fires once.
type serverWatch struct {
	path     string
	children bool
}

// watchState is the request that sets a watch. ZooKeeper's client keeps a channel for each
// request, so a watch that is set is not set again.
type watchState struct{ set bool }

func newHub(s *store, o config) *hub {
	h := &hub{
		s: s, config: o, maxIdle: maxIdle, mark: newMark(), changed: make(chan struct{}),
		watchers: map[watcher]struct{}{}, paths: map[string]map[watcher]struct{}{}, serverWatches: map[serverWatch]*watchState{},
	}
	h.giveUp = time.AfterFunc(driver.WatchTimeout, h.giveUpWatches)
	h.giveUp.Stop()
	return h
}

// add makes w receive events.
func (h *hub) add(w watcher) {
	h.start.Do(func() { h.s.life.Go(h.run) })
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[w] = struct{}{}
}

// remove ends what add and subscribePath have begun.
func (h *hub) remove(w watcher, paths ...string) {
	h.unsubscribe(w, paths...)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
}

// subscribePath makes w receive the events of path.
func (h *hub) subscribePath(w watcher, path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.paths[path] == nil {
		h.paths[path] = map[watcher]struct{}{}
	}
	h.paths[path][w] = struct{}{}
}

func (h *hub) unsubscribe(w watcher, paths ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, path := range paths {
		delete(h.paths[path], w)
		if len(h.paths[path]) == 0 {
			delete(h.paths, path)
		}
	}
	// A path has at most two watches, which are at the server until they fire or the session
	// ends.
	if h.current != nil && len(h.serverWatches) > 4*len(h.paths)+h.maxIdle {
		h.current.end(nil)
	}
}

// run makes one session after the other until the end of the instance.
func (h *hub) run() {
	h.giveUp.Reset(driver.WatchTimeout)
	defer h.giveUp.Stop()
	wait := retry.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for h.s.life.Context().Err() == nil {
		began := time.Now()
		if err := h.session(); err == nil && time.Since(began) > watchSessionTimeout {
			wait.Reset()
		}
		if wait.Wait(h.s.life.Context()) != nil {
			return
		}
	}
}

// session makes a session and returns when it has ended.
func (h *hub) session() error {
	ctx, cancel := context.WithCancelCause(h.s.life.Context())
	defer cancel(nil)
	x := &session{ctx: ctx, end: cancel}
	h.mu.Lock()
	seen, locks := h.seen, h.locks
	h.mu.Unlock()
	var err error
	x.Conn, err = conn.Open(conn.Config{
		Servers: &h.s.servers, SessionTimeout: watchSessionTimeout, TLS: h.config.TLS, Credentials: h.config.credentials, MaxRequest: leastMaxRequest,
		SingleConnection: true, Hooks: &h.s.hooks, Backend: Name, OnEvent: func(e zk.Event) { h.onEvent(x, e) },
	})
	if err != nil {
		return err
	}
	defer x.Close()
	if err := x.Ready(ctx); err != nil {
		return err
	}
	// The server may be behind that of the last session.
	same, err := h.mark.continues(ctx, x.Conn, seen)
	if err != nil {
		return err
	}
	if !same {
		h.s.leaveHistory(locks)
		h.mu.Lock()
		h.failLocked(kvdb.ErrWatchRevisionCompacted)
		h.mu.Unlock()
	}
	h.set(x, nil)
	<-ctx.Done()
	var cause error
	if context.Cause(ctx) == errLost {
		cause = fmt.Errorf("%w: %w", kvdb.ErrNoConnection, x.Lost())
	}
	h.set(nil, cause)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen, h.locks = x.Zxid(), h.s.leases.session()
	return nil
}

// leaveHistory ends all watches because w reads an earlier state of a znode than before, unless w
// was ended already: then this history is known.
func (h *hub) leaveHistory(w *stream) {
	h.mu.Lock()
	again, locks := w.hasFailed(), h.locks
	if !again {
		h.failLocked(kvdb.ErrWatchRevisionCompacted)
	}
	h.mu.Unlock()
	if !again {
		h.s.leaveHistory(locks)
	}
}

// set makes x the current session. nil means that there is none, because of cause if the
// connection was lost.
func (h *hub) set(x *session, cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current = x
	h.serverWatches = map[serverWatch]*watchState{}
	close(h.changed)
	h.changed = make(chan struct{})
	if x != nil {
		h.giveUp.Stop()
	} else {
		h.giveUp.Reset(driver.WatchTimeout)
	}
	for w := range h.watchers {
		w.broken(cause)
	}
}

// resumed tells o that the watch gets events, unless x is no longer the current session.
func (h *hub) resumed(x *session, o *driver.WatchObserver) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == x && x.ctx.Err() == nil {
		o.Resumed()
	}
}

// giveUpWatches ends the watches of a store that cannot be reached.
func (h *hub) giveUpWatches() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == nil {
		h.giveUp.Reset(driver.WatchTimeout) // for watches that begin later
		h.failLocked(fmt.Errorf("%w for %v", kvdb.ErrNoConnection, driver.WatchTimeout))
	}
}

// failLocked ends the watches.
func (h *hub) failLocked(err error) {
	for w := range h.watchers {
		w.failed(err)
	}
}

// onEvent receives the events of a session's client.
func (h *hub) onEvent(x *session, e zk.Event) {
	if e.Type == zk.EventSession {
		switch {
		case e.State == zk.StateHasSession:
			x.began = true
		case e.State == zk.StateDisconnected && x.began:
			x.end(errLost)
		}
		return
	}
	if e.Type == zk.EventNotWatching {
		return // another event has reported the end of the session
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Type != zk.EventNodeChildrenChanged {
		delete(h.serverWatches, serverWatch{e.Path, false})
	}
	if e.Type == zk.EventNodeChildrenChanged || e.Type == zk.EventNodeDeleted {
		delete(h.serverWatches, serverWatch{e.Path, true})
	}
	for w := range h.paths[e.Path] {
		w.fired(e.Path, e.Type)
	}
}

// live returns the current session, nil while there is none, and a channel that is closed when that
// changes.
func (h *hub) live() (x *session, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != nil && h.current.ctx.Err() == nil {
		x = h.current
	}
	return x, h.changed
}

// awaitSession waits until there is a session, and returns it.
func (h *hub) awaitSession(ctx context.Context) (*session, error) {
	for {
		x, changed := h.live()
		if x != nil {
			return x, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, driver.WithCause(ctx, nil)
		}
	}
}

// needsWatch reports whether a watch must be set. The caller calls done after the request that sets
// it.
func (h *hub) needsWatch(x *session, w serverWatch) (needed bool, done func(set bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if state := h.serverWatches[w]; h.current != x || state != nil && state.set {
		return h.current != x, func(bool) {}
	}
	state := &watchState{}
	h.serverWatches[w] = state
	return true, func(set bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.serverWatches[w] != state { // it has fired already, or another request sets it too
			return
		}
		if state.set = set; !set {
			delete(h.serverWatches, w)
		}
	}
}

// get reads a znode and watches it.
func (h *hub) get(x *session, path string) (data []byte, stat *zk.Stat, err error) {
	needed, done := h.needsWatch(x, serverWatch{path, false})
	if !needed {
		return x.Client().Get(path)
	}
	data, stat, _, err = x.Client().GetW(path)
	done(err == nil)
	return data, stat, err
}

// exists reports whether there is a znode, and watches the znode, or its creation.
func (h *hub) exists(x *session, path string) (exists bool, err error) {
	needed, done := h.needsWatch(x, serverWatch{path, false})
	if !needed {
		exists, _, err = x.Client().Exists(path)
		return exists, err
	}
	exists, _, _, err = x.Client().ExistsW(path)
	done(err == nil)
	return exists, err
}

// children reads the names of a znode's children and watches them.
func (h *hub) children(x *session, path string) (names []string, stat *zk.Stat, err error) {
	needed, done := h.needsWatch(x, serverWatch{path, true})
	if !needed {
		return x.Client().Children(path)
	}
	names, stat, _, err = x.Client().ChildrenW(path)
	done(err == nil)
	return names, stat, err
}
