package etcdv2

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

const (
	// The server keeps unsentEvents for a request, and leaves out what comes when
	// there are more. After so many a pause of doubtTime is reason to ask anew.
	unsentEvents = 100
	doubtTime    = 100 * time.Millisecond
	// maxUntold bounds the events that wait for Next, in bytes: their keys and values,
	// and eventBytes for each.
	maxUntold  = 64 << 20
	eventBytes = 128
)

// errDoubt: events may be missing.
var errDoubt = errors.New("there were many events, and then none")

// stream implements driver.Stream.
type stream struct {
	store   *store
	ctx     context.Context // ends with Close, or when the store has another history
	history *generation
	request driver.WatchRequest
	path    string // of the node that is watched
	cancel  context.CancelFunc
	stopped chan struct{} // closed when run has returned
	told    *queue[*kvdb.KVPair]
	untold  atomic.Int64 // the bytes of what is in told

	// Of the goroutine that runs run:
	after  uint64 // all events up to it were told
	quiet  uint64 // there was none after it up to this one, as far as the pulse tells
	gap    gap    // that was taken to be quiet, last
	listed uint64 // the index of the list at the beginning
	known  known
}

// gap is a range of indexes, after one and up to another.
type gap struct{ after, upTo uint64 }

func (g gap) has(index uint64) bool { return index > g.after && index <= g.upTo }

// known is the keys that exist, as the events and the list at the beginning tell.
// The event of a deleted directory does not name its keys.
type known map[string]struct{}

// Watch implements driver.Store.
func (s *store) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	w, err := s.watch(ctx, r)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (s *store) watch(ctx context.Context, r driver.WatchRequest) (*stream, error) {
	w := &stream{store: s, request: r, path: "/" + r.Key, known: known{}, stopped: make(chan struct{}), told: newQueue[*kvdb.KVPair]()}
	if r.Prefix {
		w.path = "/" + directory(r.Key)
	}
	for w.history == nil || r.After == 0 && w.history.over.Err() != nil {
		w.history, _ = s.pool.history.now()
		clear(w.known)
		if err := w.list(ctx); err != nil {
			return nil, err
		}
	}
	w.after = cmp.Or(r.After, w.listed)
	w.ctx, w.cancel = w.history.bind(ctx)
	if !s.life.Go(w.run) {
		w.cancel()
		return nil, kvdb.ErrClosed
	}
	return w, nil
}

// nodes returns the keys that are there of what is watched, and the index of the
// state that they are of.
func (w *stream) nodes(ctx context.Context) ([]*client.Node, uint64, error) {
	if w.request.Prefix {
		return w.store.nodesBelow(ctx, w.request.Key, false)
	}
	reply, err := w.store.get(ctx, w.path, client.GetOptions{Quorum: true})
	switch {
	case isMissing(err):
		return nil, answer(err).Index, nil
	case err != nil:
		return nil, 0, err
	case reply.Node.Dir:
		return nil, reply.Index, nil
	}
	return []*client.Node{reply.Node}, reply.Index, nil
}

// list finds out what is there of what is watched, since before the wait index.
func (w *stream) list(ctx context.Context) error {
	nodes, index, err := w.nodes(ctx)
	w.listed = index
	for _, n := range nodes {
		if w.request.After == 0 || n.ModifiedIndex <= w.request.After {
			w.known[keyOf(n)] = struct{}{}
		}
	}
	return err
}

// run tells events until the watch is over.
func (w *stream) run() {
	defer close(w.stopped)
	err := w.store.pool.retryUntil(w.ctx, w.session)
	if codeOf(err) == client.ErrorCodeEventIndexCleared {
		err = kvdb.ErrWatchRevisionCompacted
	}
	w.told.end(err)
}

// session tells the events that one connection brings. First it asks for all from
// now on, then for those before, which come one by one: the server's history is
// short, and there are no more of them meanwhile.
func (w *stream) session() (more bool, err error) {
	m := w.store.pool.Current()
	v := m.visit(w.ctx)
	live := newQueue[*client.Response]()
	var reading sync.WaitGroup
	defer reading.Wait()
	defer v.end()
	f, err := v.listen(w.path, w.request.Prefix, 0)
	if err != nil {
		return true, v.failure(w.ctx, err)
	}
	until := uint64(0) // nothing has followed what the connection has brought, up to it
	reading.Go(func() {
		defer f.body.Close()
		err := v.read(f, live)
		until = v.settled()
		live.end(err)
	})
	if err := w.catchUp(f.began); err != nil {
		return false, err
	}
	for err == nil {
		var events []*client.Response
		events, err = live.take(w.ctx)
		for _, event := range events {
			if err := w.take(event); err != nil {
				return false, err
			}
		}
	}
	if w.ctx.Err() != nil {
		return false, context.Cause(w.ctx)
	}
	w.quiet = max(w.quiet, until)
	if err == errDoubt {
		return true, nil
	}
	return true, v.failure(w.ctx, err)
}

// catchUp tells the events of the past, up to an index. That there are no more is
// certain when a later one comes: until then it waits.
func (w *stream) catchUp(upTo uint64) error {
	return w.store.pool.retryUntil(w.ctx, func() (more bool, err error) {
		if w.after >= upTo {
			return false, nil
		}
		event, settled, err := w.store.pool.next(w.ctx, w.path, w.request.Prefix, w.after)
		w.quiet = max(w.quiet, settled)
		switch {
		case codeOf(err) == client.ErrorCodeEventIndexCleared && w.quiet > w.after:
			return true, w.skip()
		case err != nil:
			return false, err
		case event.Node.ModifiedIndex > upTo:
			w.after = event.Node.ModifiedIndex - 1
			return false, nil
		}
		return true, w.take(event)
	})
}

// skip goes on from where the history begins again that the server remembers, if the
// pulse tells that nothing has happened before, and what is there does not belie it.
func (w *stream) skip() error {
	skipped := gap{w.after, w.quiet}
	nodes, _, err := w.nodes(w.ctx)
	if err != nil {
		return err
	}
	gone := maps.Clone(w.known)
	for _, n := range nodes {
		if skipped.has(n.ModifiedIndex) {
			return kvdb.ErrWatchRevisionCompacted
		}
		delete(gone, keyOf(n))
	}
	if len(gone) > 0 { // perhaps since, but who knows
		return kvdb.ErrWatchRevisionCompacted
	}
	w.after, w.gap = w.quiet, skipped
	return nil
}

// belies reports whether an event shows that there was one in the gap.
func (w *stream) belies(event *client.Response) bool {
	key := keyOf(event.Node)
	switch {
	case w.gap == gap{}, isEndOfDirectory(event), event.Node.Dir, !w.wants(key):
		return false
	case event.PrevNode != nil:
		return w.gap.has(event.PrevNode.ModifiedIndex)
	}
	_, isKnown := w.known[key]
	return isKnown
}

// read adds the events of a stream to a queue, and returns why there are no more.
func (v *visit) read(f *feed, events *queue[*client.Response]) error {
	doubt := time.AfterFunc(doubtTime, func() { v.cancel(errDoubt) })
	defer doubt.Stop()
	for n := 0; ; n++ {
		if n < unsentEvents {
			doubt.Stop()
		} else {
			doubt.Reset(doubtTime)
		}
		event, err := f.next()
		switch {
		case context.Cause(v.ctx) == errDoubt:
			return errDoubt
		case err != nil:
			return err
		}
		v.unsettle()
		events.add(event)
	}
}

// take makes of an event of etcd's what it is to the reader.
func (w *stream) take(event *client.Response) error {
	index := event.Node.ModifiedIndex
	if index <= w.after { // some are sent twice
		return nil
	}
	if w.belies(event) {
		return kvdb.ErrWatchRevisionCompacted
	}
	if index <= w.listed && isEndOfDirectory(event) && event.PrevNode.CreatedIndex <= w.request.After {
		if err := w.learn(event); err != nil {
			return err
		}
	}
	w.after = index
	w.store.pool.history.note(w.history, event)
	pairs := w.apply(event)
	if w.untold.Add(bytesOf(pairs)) > maxUntold {
		return kvdb.ErrWatchRevisionCompacted
	}
	w.told.add(pairs...)
	return nil
}

func bytesOf(pairs []*kvdb.KVPair) int64 {
	n := 0
	for _, p := range pairs {
		n += eventBytes + len(p.Key) + len(p.Value)
	}
	return int64(n)
}

// isEnd reports whether an event is the end of a node.
func isEnd(event *client.Response) bool {
	switch event.Action {
	case "delete", "compareAndDelete", "expire":
		return true
	}
	return false
}

// isEndOfDirectory reports whether an event is the end of a directory and of all
// that is in it.
func isEndOfDirectory(event *client.Response) bool {
	return isEnd(event) && event.PrevNode != nil && event.PrevNode.Dir
}

// apply notes what an event of etcd's changes, and makes of it those of the keys
// that are watched.
func (w *stream) apply(event *client.Response) []*kvdb.KVPair {
	n := event.Node
	action := kvdb.KVSet
	switch event.Action {
	case "create":
		action = kvdb.KVCreate
	case "set":
		if event.PrevNode == nil {
			action = kvdb.KVCreate
		}
	case "delete", "compareAndDelete":
		action = kvdb.KVDelete
	case "expire":
		action = kvdb.KVExpire
	}
	switch {
	case isEndOfDirectory(event):
		return w.endBelow(keyOf(n)+"/", n.ModifiedIndex, action)
	case n.Dir, !w.wants(keyOf(n)):
		return nil
	case isEnd(event):
		delete(w.known, keyOf(n))
		return []*kvdb.KVPair{endOf(keyOf(n), n.ModifiedIndex, action)}
	}
	w.known[keyOf(n)] = struct{}{}
	pair := pairOf(n, n.ModifiedIndex)
	pair.Action = action
	return []*kvdb.KVPair{pair}
}

// wants reports whether a key is watched. The server tells of hidden ones when they
// are past.
func (w *stream) wants(key string) bool {
	if !w.request.Prefix {
		return key == w.request.Key
	}
	return strings.HasPrefix(key, w.request.Key) && isReadable(key) && !isHidden(key, directory(w.request.Key))
}

func endOf(key string, index uint64, action kvdb.KVAction) *kvdb.KVPair {
	return &kvdb.KVPair{Key: key, Action: action, ModifiedIndex: index, KVDBIndex: index}
}

// endBelow returns the events of the keys in a directory that is gone.
func (w *stream) endBelow(dir string, index uint64, action kvdb.KVAction) []*kvdb.KVPair {
	var events []*kvdb.KVPair
	for _, key := range slices.Sorted(maps.Keys(w.known)) {
		if strings.HasPrefix(key, dir) {
			delete(w.known, key)
			events = append(events, endOf(key, index, action))
		}
	}
	return events
}

// learn finds out which keys were in a directory that was deleted before the watch
// began, and is older than its wait index: from the events since it was made.
func (w *stream) learn(deletion *client.Response) error {
	dir := deletion.PrevNode
	before := w.known
	w.known = known{}
	err := w.store.pool.follow(w.ctx, w.history, dir.Key, true, dir.CreatedIndex-1, deletion.Node.ModifiedIndex-1, func(event *client.Response) (bool, error) {
		w.apply(event)
		return true, nil
	})
	maps.DeleteFunc(before, func(key string, _ struct{}) bool { return strings.HasPrefix(key, keyOf(dir)+"/") })
	maps.Copy(before, w.known)
	w.known = before
	return err
}

// Next implements driver.Stream.
func (w *stream) Next() ([]*kvdb.KVPair, error) {
	pairs, err := w.told.take(w.ctx)
	w.untold.Add(-bytesOf(pairs))
	return pairs, err
}

// Close implements driver.Stream.
func (w *stream) Close() {
	w.cancel()
	<-w.stopped
}
