package etcdv2

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
)

// stream implements driver.Stream. A goroutine asks for one event after the
// other, however slow the reader is: the server forgets them soon.
type stream struct {
	store   *store
	ctx     context.Context // ends with Close
	request driver.WatchRequest
	path    string // of the node that is watched
	cancel  context.CancelFunc
	stopped chan struct{} // closed when the goroutine has ended

	// Of the goroutine:
	after  uint64 // the last index whose events are all told
	listed uint64 // that of the list at the beginning
	known  known

	news chan struct{} // has an element when something was added below
	mu   sync.Mutex    // protects what is below
	tell []*kvdb.KVPair
	err  error // which ended the goroutine
}

// known is the keys that exist, with their last index, as the events and the
// list at the beginning tell. The event of a deleted directory does not name
// its keys.
type known map[string]uint64

// Watch implements driver.Store.
func (s *store) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	w := &stream{store: s, request: r, path: "/" + r.Key, stopped: make(chan struct{}), news: make(chan struct{}, 1)}
	if r.Prefix {
		w.path = "/" + directory(r.Key)
	}
	now, index, err := w.list(ctx)
	if err != nil {
		return nil, err
	}
	w.after, w.listed, w.known = index, index, now
	if r.After != 0 {
		w.after = r.After
		maps.DeleteFunc(w.known, func(_ string, modified uint64) bool { return modified > r.After })
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	if !s.launch(w.run) {
		w.cancel()
		return nil, kvdb.ErrClosed
	}
	return w, nil
}

// list returns what is there of what is watched.
func (w *stream) list(ctx context.Context) (known, uint64, error) {
	keys := known{}
	if w.request.Prefix {
		nodes, index, err := w.store.nodesBelow(ctx, w.request.Key, false)
		for _, n := range nodes {
			keys[keyOf(n)] = n.ModifiedIndex
		}
		return keys, index, err
	}
	reply, err := w.store.get(ctx, w.path, client.GetOptions{Quorum: true})
	switch {
	case isMissing(err):
		return keys, answer(err).Index, nil
	case err != nil:
		return nil, 0, err
	case !reply.Node.Dir:
		keys[w.request.Key] = reply.Node.ModifiedIndex
	}
	return keys, reply.Index, nil
}

func (w *stream) run() {
	defer close(w.stopped)
	for {
		after, err := w.store.follow(w.ctx, w.path, w.request.Prefix, w.after, w.take)
		w.after = after
		if codeOf(err) == client.ErrorCodeEventIndexCleared {
			err = w.catchUp()
		}
		if err != nil {
			w.add(nil, err)
		}
		if w.isOver() {
			return
		}
	}
}

// take makes of an event of etcd's what it is to the reader.
func (w *stream) take(event *client.Response) bool {
	if event.Node.ModifiedIndex <= w.listed && isEndOfDirectory(event) && event.PrevNode.CreatedIndex <= w.request.After {
		if err := w.learn(event); err != nil {
			w.add(nil, err)
			return false
		}
	}
	if events := w.apply(event); len(events) > 0 {
		w.add(events, nil)
	}
	return true
}

// add hands events, or the error that is the end, to the reader.
func (w *stream) add(events []*kvdb.KVPair, err error) {
	w.mu.Lock()
	w.tell = append(w.tell, events...)
	w.err = err
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *stream) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err != nil
}

// catchUp goes on from now when the server does not know the events since the
// last one, and nothing has changed.
func (w *stream) catchUp() error {
	if w.after < w.listed { // what was deleted since is not known
		return kvdb.ErrWatchRevisionCompacted
	}
	now, index, err := w.list(w.ctx)
	if err != nil {
		return err
	}
	if index < w.after || !maps.Equal(now, w.known) {
		return kvdb.ErrWatchRevisionCompacted
	}
	w.after = index
	return nil
}

// isEnd tells whether an event is the end of a node.
func isEnd(event *client.Response) bool {
	switch event.Action {
	case "delete", "compareAndDelete", "expire":
		return true
	}
	return false
}

// isEndOfDirectory tells whether an event is the end of a directory and of all
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
	w.known[keyOf(n)] = n.ModifiedIndex
	pair := pairOf(n, n.ModifiedIndex)
	pair.Action = action
	return []*kvdb.KVPair{pair}
}

// wants tells whether a key is watched. The server tells of hidden ones when they
// are past.
func (w *stream) wants(key string) bool {
	if !w.request.Prefix {
		return key == w.request.Key
	}
	return strings.HasPrefix(key, w.request.Key) && !isHidden(key, directory(w.request.Key))
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
	_, err := w.store.follow(w.ctx, dir.Key, true, dir.CreatedIndex-1, func(event *client.Response) bool {
		if event.Node.ModifiedIndex >= deletion.Node.ModifiedIndex {
			return false
		}
		w.apply(event)
		return true
	})
	if codeOf(err) == client.ErrorCodeEventIndexCleared {
		return kvdb.ErrWatchRevisionCompacted
	}
	maps.DeleteFunc(before, func(key string, _ uint64) bool { return strings.HasPrefix(key, keyOf(dir)+"/") })
	maps.Copy(before, w.known)
	w.known = before
	return err
}

// Next implements driver.Stream.
func (w *stream) Next() ([]*kvdb.KVPair, error) {
	for {
		w.mu.Lock()
		events, err := w.tell, w.err
		w.tell = nil
		w.mu.Unlock()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-w.news:
		case <-w.ctx.Done():
			return nil, context.Cause(w.ctx)
		}
	}
}

// Close implements driver.Stream.
func (w *stream) Close() {
	w.cancel()
	<-w.stopped
}
