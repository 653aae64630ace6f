package zookeeper

import (
	"context"
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
	// watchTimeout is how long watches wait for a store that cannot be reached.
	watchTimeout = 50 * time.Second
	// watchSessionTimeout is that of the session of the watches. Nothing is lost
	// with it: a shorter one notices sooner that a server is dead.
	watchSessionTimeout = 9 * time.Second
	// maxIdle is how many watches that nobody waits for any more may be at the
	// server, besides twice the number of paths that are watched.
	maxIdle = 10000
)

// hub is the session of an instance's watches. It has one connection, and when
// that is lost another session takes its place, on which all is watched anew:
// who watches compares what he finds with what he knew. So it does not matter what
// becomes of watches when a connection is made again (ZooKeeper's client sends
// them all, with an index that may be too new by then).
type hub struct {
	s       *store
	o       config
	maxIdle int
	start   sync.Once
	mark    mark // of the goroutine that makes sessions

	mu       sync.Mutex // protects what is below
	current  *session   // nil: there is none at the moment
	changed  chan struct{}
	watchers map[watcher]struct{}
	paths    map[string]map[watcher]struct{} // who is told of events
	arms     map[arm]*armState               // of the current session
	seen     int64                           // the largest zxid of the session before
	locks    int                             // the session of the locks at its end
	giveUp   *time.Timer                     // runs while there is no session
}

// watcher is told of events. It must not block, nor call the hub.
type watcher interface {
	// fired gets an event of a path that it subscribed to.
	fired(path string, event zk.EventType)
	// broken tells that nothing is watched any more.
	broken()
	// failed tells that the store cannot be reached for watchTimeout, or has gone back.
	failed(err error)
}

// session is one of ZooKeeper's client, with one connection.
type session struct {
	*conn.Conn
	end   context.CancelFunc // lets another session take its place
	lost  chan struct{}      // closed when the connection is
	began bool               // it had a connection; for the client's events only
}

// arm is a watch at the server, which fires once.
type arm struct {
	path     string
	children bool
}

// armState is the request that sets a watch. The client keeps a channel for
// each, so one that is set is not set again.
type armState struct{ set bool }

func newHub(s *store, o config) *hub {
	return &hub{
		s: s, o: o, maxIdle: maxIdle, mark: newMark(), changed: make(chan struct{}),
		watchers: map[watcher]struct{}{}, paths: map[string]map[watcher]struct{}{}, arms: map[arm]*armState{},
	}
}

// add tells w of events from now on.
func (h *hub) add(w watcher) {
	h.start.Do(func() { h.s.launch(h.run) })
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[w] = struct{}{}
}

func (h *hub) remove(w watcher, paths ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
	for _, path := range paths {
		h.unsubscribeLocked(w, path)
	}
}

// subscribePath tells w of events of path.
func (h *hub) subscribePath(w watcher, path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.paths[path] == nil {
		h.paths[path] = map[watcher]struct{}{}
	}
	h.paths[path][w] = struct{}{}
}

func (h *hub) unsubscribe(w watcher, path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unsubscribeLocked(w, path)
}

func (h *hub) unsubscribeLocked(w watcher, path string) {
	delete(h.paths[path], w)
	if len(h.paths[path]) > 0 {
		return
	}
	delete(h.paths, path)
	// A path has two watches at most. They are at the server until they fire, or
	// the session ends.
	if h.current != nil && len(h.arms) > 4*len(h.paths)+h.maxIdle {
		h.current.end()
	}
}

// run keeps a session until the end of the instance.
func (h *hub) run() {
	defer h.stopTimer()
	wait := retry.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for h.s.lifetime.Err() == nil {
		began := time.Now()
		h.startTimer()
		if err := h.session(); err == nil && time.Since(began) > watchSessionTimeout {
			wait.Reset()
		}
		if wait.Wait(h.s.lifetime) != nil {
			return
		}
	}
}

// session makes a session and returns when it is over.
func (h *hub) session() error {
	ctx, cancel := context.WithCancel(h.s.lifetime)
	defer cancel()
	x := &session{end: cancel, lost: make(chan struct{})}
	cfg := conn.Config{
		Servers: &h.s.servers, SessionTimeout: watchSessionTimeout, TLS: h.o.TLS, Credentials: h.o.credentials, MaxRequest: leastMaxRequest,
		SingleConnection: true, OnEvent: func(e zk.Event) { h.told(x, e) },
	}
	h.mu.Lock()
	seen, session := h.seen, h.locks
	h.mu.Unlock()
	var err error
	if x.Conn, err = conn.Open(cfg); err != nil {
		return err
	}
	defer x.Close()
	go func() {
		select {
		case <-x.lost:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := x.Ready(ctx); err != nil {
		return err
	}
	// The server may be behind the one before.
	same, err := h.mark.resumes(ctx, x.Conn, seen)
	if err != nil {
		return err
	}
	if !same {
		h.s.forget(session)
		h.fail(kvdb.ErrWatchRevisionCompacted)
	}
	h.set(x)
	<-ctx.Done()
	h.set(nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen, h.locks = x.Zxid(), h.s.leases.session()
	return nil
}

// set makes x the current session, or none.
func (h *hub) set(x *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current = x
	h.arms = map[arm]*armState{}
	close(h.changed)
	h.changed = make(chan struct{})
	if x != nil && h.giveUp != nil {
		h.giveUp.Stop()
		h.giveUp = nil
	}
	for w := range h.watchers {
		w.broken()
	}
}

func (h *hub) startTimer() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.giveUp == nil {
		h.giveUp = time.AfterFunc(watchTimeout, h.giveUpWatches)
	}
}

func (h *hub) stopTimer() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.giveUp != nil {
		h.giveUp.Stop()
	}
}

// giveUpWatches ends the watches of a store that cannot be reached.
func (h *hub) giveUpWatches() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == nil {
		h.giveUp = nil
		h.failLocked(fmt.Errorf("%w for %v", kvdb.ErrNoConnection, watchTimeout))
	}
}

// fail ends the watches.
func (h *hub) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failLocked(err)
}

func (h *hub) failLocked(err error) {
	for w := range h.watchers {
		w.failed(err)
	}
}

// told gets the events of a session's client.
func (h *hub) told(x *session, e zk.Event) {
	if e.Type == zk.EventSession {
		switch {
		case e.State == zk.StateHasSession:
			x.began = true
		case e.State == zk.StateDisconnected && x.began:
			x.began = false
			close(x.lost)
		}
		return
	}
	if e.Type == zk.EventNotWatching {
		return // the session is over, which was told before
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Type != zk.EventNodeChildrenChanged {
		delete(h.arms, arm{e.Path, false})
	}
	if e.Type == zk.EventNodeChildrenChanged || e.Type == zk.EventNodeDeleted {
		delete(h.arms, arm{e.Path, true})
	}
	for w := range h.paths[e.Path] {
		w.fired(e.Path, e.Type)
	}
}

// use returns the current session, for which it waits.
func (h *hub) use(ctx context.Context) (*session, error) {
	for {
		h.mu.Lock()
		x, changed := h.current, h.changed
		h.mu.Unlock()
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

// arming reports whether a watch must be set, and returns what to call when it is.
func (h *hub) arming(x *session, a arm) (needed bool, done func(set bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if state := h.arms[a]; h.current != x || state != nil && state.set {
		return h.current != x, func(bool) {}
	}
	state := &armState{}
	h.arms[a] = state
	return true, func(set bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.arms[a] != state { // it has fired already, or somebody else sets it too
			return
		}
		if state.set = set; !set {
			delete(h.arms, a)
		}
	}
}

// get reads a znode and watches it.
func (h *hub) get(x *session, path string) (data []byte, stat *zk.Stat, err error) {
	needed, done := h.arming(x, arm{path, false})
	if !needed {
		return x.Client().Get(path)
	}
	data, stat, _, err = x.Client().GetW(path)
	done(err == nil)
	return data, stat, err
}

// awaitCreation watches for the creation of a znode, unless it is there.
func (h *hub) awaitCreation(x *session, path string) (exists bool, err error) {
	needed, done := h.arming(x, arm{path, false})
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
	needed, done := h.arming(x, arm{path, true})
	if !needed {
		return x.Client().Children(path)
	}
	names, stat, _, err = x.Client().ChildrenW(path)
	done(err == nil)
	return names, stat, err
}
