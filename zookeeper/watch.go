package zookeeper

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
)

// stream implements driver.Stream.
//
// An event of ZooKeeper says that a znode, or the list of its children, has changed, and not
// how. It comes only once until the znode is read again. So a stream keeps what it knows of each
// znode, reads the znodes that have changed in rounds, and makes events of the differences. With
// a new session it reads all of them.
//
// Events are delivered in the order of their indexes. A session receives the event of a change
// before it gets a reply that shows the change, or a later one. So when a round has read all that
// had changed when it began, the stream knows all changes up to the largest zxid that it had seen
// by then. If there was no event meanwhile, it knows all changes that it has seen.
type stream struct {
	h     *hub
	ctx   context.Context
	walk  walk
	root  string // the znode at or below which the keys are
	tree  bool
	after uint64
	first bool // nothing was read yet

	observer *driver.WatchObserver

	// These belong to the caller of Next.
	nodes         map[string]known
	pending       []*kvdb.KVPair
	lastZxid      int64 // the largest zxid seen
	completeUntil int64 // lastZxid when the last round that was read to its end began

	wake chan struct{} // has an element after something below has changed

	mu      sync.Mutex // protects what is below
	stale   map[string]stale
	all     bool // every znode is to be read
	failure error
}

// known is what a stream knows of a znode.
type known struct {
	czxid, mzxid int64
	key          bool
}

// stale describes what must be read of a znode.
type stale struct{ data, children bool }

// Watch implements driver.Store.
func (s *store) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	w := &stream{
		h: s.hub, ctx: ctx, walk: walk{prefixes: []string{r.Key}}, root: pathOf(r.Key), tree: r.Prefix, after: r.After, observer: r.Observer,
		first: true, nodes: map[string]known{}, wake: make(chan struct{}, 1), stale: map[string]stale{}, all: true,
	}
	if w.tree {
		w.root, _ = splitPrefix(r.Key)
	}
	s.hub.add(w)
	s.hub.subscribePath(w, w.root)
	if err := w.begin(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// begin reads what is there when the watch begins.
func (w *stream) begin() error {
	for {
		x, err := w.syncedSession()
		if err != nil {
			return err
		}
		w.restart()
		err = w.round(x)
		if err == nil {
			w.first = false
			return nil
		}
		if w.ctx.Err() != nil {
			return driver.WithCause(w.ctx, nil)
		}
		if fateOf(err) == call.Refused {
			return err
		}
	}
}

// restart forgets what an earlier session has read. If the watch is to deliver only what comes
// later, it also forgets a failure: a session that began after the failure sees what comes now, and
// one that has ended reads nothing more.
func (w *stream) restart() {
	delete(w.nodes, w.root) // stays subscribed
	w.h.unsubscribe(w, slices.Collect(maps.Keys(w.nodes))...)
	w.nodes, w.pending, w.lastZxid = map[string]known{}, nil, 0
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = true
	if w.after == 0 {
		w.failure = nil
	}
}

// syncedSession returns a session that sees what was written before the call.
func (w *stream) syncedSession() (*session, error) {
	ctx, cancel := bounded(w.ctx)
	defer cancel()
	x, err := w.h.awaitSession(ctx)
	if err == nil {
		err = x.Run(ctx, func(*zk.Conn) error { return x.StartSync().Wait(ctx) })
		if err != nil && ctx.Err() == nil {
			err = awaitEnd(ctx, x)
		}
	}
	if err != nil {
		return nil, driver.NotReached(ctx, err)
	}
	return x, nil
}

// awaitEnd waits until a session that does not work has ended.
func awaitEnd(ctx context.Context, x *session) error {
	select {
	case <-x.ctx.Done():
		return nil
	case <-ctx.Done():
		return driver.WithCause(ctx, nil)
	}
}

// Next implements driver.Stream.
func (w *stream) Next() ([]*kvdb.KVPair, error) {
	for {
		if events := w.dueEvents(); len(events) > 0 {
			return events, nil
		}
		x, err := w.awaitChange()
		if err != nil {
			return nil, err
		}
		err = w.round(x)
		switch {
		case err == nil:
			w.h.resumed(x, w.observer)
		case fateOf(err) == call.Refused:
			return nil, err
		default:
			if err := awaitEnd(w.ctx, x); err != nil {
				return nil, err
			}
		}
	}
}

// awaitChange waits until there is something to read, and returns the session for that.
func (w *stream) awaitChange() (*session, error) {
	for {
		w.mu.Lock()
		changed, failure := w.all || len(w.stale) > 0, w.failure
		w.mu.Unlock()
		if failure != nil {
			return nil, failure
		}
		if changed {
			if x, _ := w.h.live(); x != nil {
				return x, nil
			}
		}
		select {
		case <-w.wake:
		case <-w.ctx.Done():
			return nil, driver.WithCause(w.ctx, nil)
		}
	}
}

// dueEvents returns, and removes, the pending events that no other event can precede.
func (w *stream) dueEvents() []*kvdb.KVPair {
	if len(w.pending) == 0 {
		return nil
	}
	slices.SortStableFunc(w.pending, func(a, b *kvdb.KVPair) int { return cmp.Compare(a.ModifiedIndex, b.ModifiedIndex) })
	w.mu.Lock()
	quiet := !w.all && len(w.stale) == 0
	w.mu.Unlock()
	n := len(w.pending)
	if !quiet {
		n, _ = slices.BinarySearchFunc(w.pending, uint64(w.completeUntil)+1, func(e *kvdb.KVPair, index uint64) int {
			return cmp.Compare(e.ModifiedIndex, index)
		})
	}
	events := w.pending[:n:n]
	w.pending = w.pending[n:]
	return events
}

// Close implements driver.Stream.
func (w *stream) Close() {
	paths := []string{w.root}
	for path := range w.nodes {
		paths = append(paths, path)
	}
	w.h.remove(w, paths...)
}

// fired implements watcher.
func (w *stream) fired(path string, event zk.EventType) {
	w.mu.Lock()
	p := w.stale[path]
	p.data = p.data || event != zk.EventNodeChildrenChanged
	p.children = p.children || event != zk.EventNodeDataChanged
	w.stale[path] = p
	w.mu.Unlock()
	w.signal()
}

// broken implements watcher.
func (w *stream) broken(cause error) {
	w.mu.Lock()
	w.all = true
	w.mu.Unlock()
	if cause != nil {
		w.observer.Interrupted(cause)
	}
	w.signal()
}

// hasFailed reports whether failed was called.
func (w *stream) hasFailed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure != nil
}

// failed implements watcher.
func (w *stream) failed(err error) {
	w.mu.Lock()
	w.failure = err
	w.mu.Unlock()
	w.signal()
}

func (w *stream) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
