package etcdv2

import (
	"cmp"
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

const (
	// maxQueued bounds the events that wait for Next, in bytes: their keys and values,
	// and eventBytes for each.
	maxQueued  = 64 << 20
	eventBytes = 128
)

// stream implements driver.Stream.
type stream struct {
	store       *store
	ctx         context.Context // ends with Close, or when the history is over
	history     *generation
	request     driver.WatchRequest
	path        string // of the node that is watched
	cancel      context.CancelFunc
	stopped     chan struct{} // closed when run has returned
	events      *queue[*kvdb.KVPair]
	queuedBytes atomic.Int64 // the bytes of what is in events

	// Of the goroutine of run:
	after     uint64 // all events up to this index are in events or before
	quietUpTo uint64 // the heartbeats show no events after after up to this index
	gap       gap    // the last range that skip has skipped
	listed    uint64 // the index of the list at the beginning
	known     known
}

// gap is a range of indexes, after one and up to another.
type gap struct{ after, upTo uint64 }

func (g gap) has(index uint64) bool { return index > g.after && index <= g.upTo }

// known is the set of keys that exist according to the list at the beginning and the
// events since. It is needed because the event of a deleted directory does not name its
// keys.
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
	w := &stream{store: s, request: r, path: "/" + r.Key, known: known{}, stopped: make(chan struct{}), events: newQueue[*kvdb.KVPair](r.Observer)}
	if r.Prefix {
		w.path = "/" + directory(r.Key)
	}
	starting, cancel := driver.WithTimeLimit(ctx, driver.CallTimeout)
	defer cancel()
	for w.history == nil || r.After == 0 && w.history.over.Err() != nil {
		w.history, _ = s.pool.history.now()
		clear(w.known)
		err := w.list(starting)
		if err == nil {
			err = s.pool.verify(starting) // so that the list is of that history, or it is over
		}
		if err != nil {
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

// nodes returns the nodes of the watched keys, and the index of the reply.
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

// list sets listed, and known to the keys that have not changed since the wait index.
func (w *stream) list(ctx context.Context) error {
	nodes, index, err := w.nodes(ctx)
	w.listed = index
	w.store.pool.history.noteList(w.history, nodes)
	for _, n := range nodes {
		if w.request.After == 0 || n.ModifiedIndex <= w.request.After {
			w.known[keyOf(n)] = struct{}{}
		}
	}
	return err
}

// run adds events to the queue until the watch is over.
func (w *stream) run() {
	defer close(w.stopped)
	err := w.store.pool.retryUntil(w.ctx, w.session)
	if codeOf(err) == client.ErrorCodeEventIndexCleared {
		err = kvdb.ErrWatchRevisionCompacted
	}
	w.events.end(err)
}

// session takes the events of one connection. It first requests all events from now on,
// and then the events before, one by one, because the server remembers few of them and
// their number no longer grows.
func (w *stream) session() (more bool, err error) {
	l := w.store.pool.Current().longPoll(w.ctx, w.request.Observer)
	live := newQueue[*client.Response](nil)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer l.end()
	s, err := l.listen(w.path, w.request.Prefix, 0, w.store.pool.sameHistory(w.history))
	if err != nil {
		return true, l.failure(w.ctx, err)
	}
	settled := uint64(0)
	reading.Go(func() {
		defer s.body.Close()
		err := l.read(s, live)
		settled = l.settled()
		live.end(err)
	})
	if err := w.catchUp(s.began); err != nil {
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
	w.quietUpTo = max(w.quietUpTo, settled)
	if err == errMayMiss {
		return true, nil
	}
	return true, l.failure(w.ctx, err)
}

// catchUp takes the events of the past, up to an index. Only a later event shows that
// there are no more of them, so it waits for one.
func (w *stream) catchUp(upTo uint64) error {
	return w.store.pool.retryUntil(w.ctx, func() (more bool, err error) {
		if w.after >= upTo {
			return false, nil
		}
		l := w.store.pool.Current().longPoll(w.ctx, w.request.Observer)
		event, settled, err := l.next(w.ctx, w.path, w.request.Prefix, w.after, w.store.pool.sameHistory(w.history))
		w.quietUpTo = max(w.quietUpTo, settled)
		switch {
		case codeOf(err) == client.ErrorCodeEventIndexCleared && w.quietUpTo > w.after:
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

// skip continues from quietUpTo, because the server does not remember the events after
// w.after. It returns kvdb.ErrWatchRevisionCompacted if the present keys show that there
// were events in this gap, although the heartbeats showed none.
func (w *stream) skip() error {
	skipped := gap{w.after, w.quietUpTo}
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
	if len(gone) > 0 { // they may have been deleted in the gap or later
		return kvdb.ErrWatchRevisionCompacted
	}
	w.after, w.gap = w.quietUpTo, skipped
	return nil
}

// contradictsGap reports whether an event shows that there was another one in the gap.
func (w *stream) contradictsGap(event *client.Response) bool {
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

// take adds the events for the reader that an event of etcd's means.
func (w *stream) take(event *client.Response) error {
	index := event.Node.ModifiedIndex
	if index <= w.after { // some are sent twice
		return nil
	}
	if w.contradictsGap(event) {
		return kvdb.ErrWatchRevisionCompacted
	}
	if index <= w.listed && isEndOfDirectory(event) && event.PrevNode.CreatedIndex <= w.request.After {
		if err := w.learn(event); err != nil {
			return err
		}
	}
	w.after = index
	w.store.pool.history.note(w.history, event.Node)
	pairs := w.apply(event)
	if w.queuedBytes.Add(bytesOf(pairs)) > maxQueued {
		return kvdb.ErrWatchRevisionCompacted
	}
	w.events.add(pairs...)
	return nil
}

// learn adds to known the keys of a directory that was deleted before the watch began and
// created before its wait index. It takes them from the events of the directory.
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
	pairs, err := w.events.take(w.ctx)
	w.queuedBytes.Add(-bytesOf(pairs))
	return pairs, err
}

// Close implements driver.Stream.
func (w *stream) Close() {
	w.cancel()
	<-w.stopped
}
