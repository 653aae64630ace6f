package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/retry"
)

const (
	// watchPatience is how long watches ride out a store that cannot be reached.
	watchPatience = 50 * time.Second
	// answerTime is how long a member may take to answer on the watch stream,
	// pingEvery is how often it is asked for an answer.
	answerTime = 5 * time.Second
	pingEvery  = 10 * time.Second
	// hubIdle is how long the stream is kept open without a watch.
	hubIdle = 30 * time.Second
	// maxQueued is how many bytes of events may wait for a slow callback. Then the
	// server's history keeps the rest until it has caught up.
	maxQueued = 4 << 20
)

// hub carries all watches of an instance over one gRPC stream, and moves them
// to the next stream when that one fails. (The watcher of the client library
// keeps any number of events in memory for a slow consumer, tells nobody that
// it has lost the server, and needs several goroutines for each watch.)
type hub struct {
	s         *store
	pingEvery time.Duration // set before the first watch

	mu      sync.Mutex // protects what is below, and what watch and hubStream say
	watches map[*watch]struct{}
	byID    map[int64]*watch // those registered on stream, or about to be
	lastID  int64            // of a watch: never used again in the hub's life
	stream  *hubStream       // nil between two streams
	running bool             // run is
}

// hubStream is one gRPC stream. The hub's mutex protects its fields, which are
// not used after it has failed.
type hubStream struct {
	cancel   context.CancelFunc
	requests []*pb.WatchRequest // to be sent
	wake     chan struct{}      // has an element when requests has
	creating []int64            // whose answers are to come, in that order
	answerBy time.Time          // zero when no answer is awaited
	pinged   time.Time          // when the last ping was sent, or the stream begun
	up       bool               // one came
}

func newHub(s *store) *hub {
	return &hub{s: s, pingEvery: pingEvery, watches: map[*watch]struct{}{}, byID: map[int64]*watch{}}
}

// add registers w. It is false after the store's Close.
func (h *hub) add(w *watch) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.running {
		if !h.s.launch(h.run) {
			return false
		}
		h.running = true
	}
	h.watches[w] = struct{}{}
	h.create(w)
	return true
}

// remove forgets w.
func (h *hub) remove(w *watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watches, w)
	h.cancel(w)
}

// create asks the server for w's events, on the present stream if there is one.
// The caller holds mu.
func (h *hub) create(w *watch) {
	if h.stream == nil {
		return
	}
	h.lastID++
	w.id = h.lastID
	h.byID[w.id] = w
	h.stream.create(&pb.WatchCreateRequest{
		Key: w.keys.key, RangeEnd: w.keys.end, StartRevision: w.next, WatchId: w.id, ProgressNotify: true, Fragment: true,
	})
}

// cancel ends w on the present stream. The caller holds mu.
func (h *hub) cancel(w *watch) {
	if w.id != 0 {
		h.stream.cancelWatch(w.id)
		delete(h.byID, w.id)
	}
	w.leave()
}

// fail ends w with err. The caller holds mu.
func (h *hub) fail(w *watch, err error) {
	delete(h.watches, w)
	h.cancel(w)
	w.err = err
	w.signal()
}

// run has a stream open as long as there are watches.
func (h *hub) run() {
	backoff := retry.Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	down := time.Now()
	for {
		up, err := h.serve()
		if up {
			down = time.Now()
			backoff.Reset()
		}
		closed := backoff.Wait(h.s.lifetime)
		h.mu.Lock()
		for w := range h.watches {
			if closed != nil {
				h.fail(w, closed)
			} else if time.Since(down) > watchPatience {
				h.fail(w, fmt.Errorf("%w: %w", kvdb.ErrNoConnection, err))
			}
		}
		if closed != nil || len(h.watches) == 0 {
			h.running = false
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
	}
}

// serve opens a stream and carries the watches over it until it fails. up tells
// whether the server answered on it.
func (h *hub) serve() (up bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(h.s.lifetime))
	stream := &hubStream{
		cancel: cancel, wake: make(chan struct{}, 1),
		answerBy: time.Now().Add(answerTime), pinged: time.Now(),
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { h.supervise(ctx, stream) })
	client, err := h.s.watcher.Watch(ctx, h.s.callOpts...)
	if err != nil {
		return false, err
	}
	wg.Go(func() { h.send(stream, client) })

	h.mu.Lock()
	h.stream = stream
	for w := range h.watches {
		if !w.parked {
			h.create(w)
		}
	}
	if len(h.byID) == 0 && len(h.watches) > 0 { // all are parked: nothing else would be answered
		h.ping()
	}
	h.mu.Unlock()
	for err == nil {
		var message *pb.WatchResponse
		if message, err = client.Recv(); err == nil {
			err = h.receive(stream, message)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stream = nil
	clear(h.byID)
	for w := range h.watches {
		w.leave()
	}
	return stream.up, err
}

// send sends what the stream has to, until it fails. It is the only one who
// does, so that nobody who holds the mutex, or receives, ever waits for the
// server to take a request.
func (h *hub) send(stream *hubStream, client pb.Watch_WatchClient) {
	for {
		select {
		case <-stream.wake:
		case <-client.Context().Done():
			return
		}
		h.mu.Lock()
		requests := stream.requests
		stream.requests = nil
		h.mu.Unlock()
		for _, r := range requests {
			if client.Send(r) != nil {
				return // the receiver gets the error
			}
		}
	}
}

// supervise ends the stream when the server does not answer, or nobody needs it.
func (h *hub) supervise(ctx context.Context, stream *hubStream) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	idle := time.Duration(0)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		h.mu.Lock()
		now := time.Now()
		if len(h.watches) > 0 {
			idle = 0
		} else {
			idle += time.Second
		}
		switch {
		case !stream.answerBy.IsZero() && now.After(stream.answerBy), idle > hubIdle:
			stream.cancel()
		case stream.answerBy.IsZero() && now.Sub(stream.pinged) > h.pingEvery && h.stream == stream && len(h.watches) > 0:
			h.ping()
		}
		h.mu.Unlock()
	}
}

// ping makes the server answer: it creates a watch, which is cancelled again,
// because that is always answered. And it asks how far the watches have come, so
// that those that see no events do not fall behind a compaction; etcd answers
// that only when all have come as far as the store. (It may answer before it sends
// events up to there, until 3.4.25 and 3.5.8: so the answer is not taken for those
// that do see events.) There is a watch. The caller holds mu.
func (h *hub) ping() {
	var keys keyRange
	for w := range h.watches {
		keys = w.keys // which the user may read
		w.asked, w.busy = w.live && !w.busy, false
	}
	h.stream.pinged = time.Now()
	h.lastID++
	h.stream.create(&pb.WatchCreateRequest{Key: keys.key, RangeEnd: keys.end, WatchId: h.lastID})
	h.stream.enqueue(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
}

func (s *hubStream) enqueue(r *pb.WatchRequest) {
	s.requests = append(s.requests, r)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *hubStream) create(r *pb.WatchCreateRequest) {
	s.creating = append(s.creating, r.WatchId)
	if s.answerBy.IsZero() {
		s.answerBy = time.Now().Add(answerTime)
	}
	s.enqueue(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}})
}

func (s *hubStream) cancelWatch(id int64) {
	s.enqueue(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
}

// receive takes one message. An error means that the stream is of no use.
func (h *hub) receive(stream *hubStream, m *pb.WatchResponse) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	stream.up, stream.answerBy = true, time.Time{}
	switch {
	case m.Created:
		return h.created(stream, m)
	case m.Canceled:
		w := h.byID[m.WatchId]
		if w == nil {
			return nil // as we have asked
		}
		if m.CompactRevision == 0 {
			return fmt.Errorf("etcd has ended a watch: %s", m.CancelReason)
		}
		h.fail(w, kvdb.ErrWatchRevisionCompacted)
	case len(m.Events) > 0:
		w := h.byID[m.WatchId]
		if w == nil {
			return nil
		}
		w.push(m)
		if w.queued > maxQueued {
			h.cancel(w)
			w.parked = true
		}
	case m.WatchId == clientv3.InvalidWatchID: // how far all have come that were there when we asked
		for _, w := range h.byID {
			if w.asked {
				w.next = max(w.next, m.Header.Revision+1)
			}
		}
	default:
		if w := h.byID[m.WatchId]; w != nil {
			w.next = max(w.next, m.Header.Revision+1)
		}
	}
	return nil
}

// created takes the answer to the oldest request to create a watch. The caller
// holds mu.
func (h *hub) created(stream *hubStream, m *pb.WatchResponse) error {
	if len(stream.creating) == 0 {
		return errors.New("etcd has created a watch that nobody wanted")
	}
	id := stream.creating[0]
	stream.creating = slices.Delete(stream.creating, 0, 1)
	w := h.byID[id]
	if !m.Canceled {
		if w == nil { // a ping, or somebody did not wait
			stream.cancelWatch(id)
			return nil
		}
		w.live = true
		w.signal()
		return nil
	}
	err := watchError(m.CancelReason)
	if errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision) {
		return err // a new stream gets a new token
	}
	if w != nil {
		delete(h.byID, id)
		w.id = 0
		h.fail(w, err)
	}
	return nil
}

// watchError turns the text of a gRPC error, which is all that etcd sends, into
// an error that can be compared.
func watchError(reason string) error {
	for _, known := range []error{
		rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCAuthOldRevision, rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCUserEmpty,
	} {
		if reason == known.Error() {
			return rpctypes.Error(known)
		}
	}
	return errors.New(reason)
}
