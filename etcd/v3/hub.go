package etcdv3

import (
	"context"
	"errors"
	"fmt"
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
	byID    map[int64]*watch // those that the server has created on stream
	lastID  int64            // that was asked for: never used again in the hub's life
	stream  *hubStream       // nil between two streams
	running bool             // run is
}

// hubStream is one gRPC stream. The hub's mutex protects its fields, which are
// not used after it has failed.
type hubStream struct {
	cancel     context.CancelFunc
	generation int                // of the store's history
	requests   []*pb.WatchRequest // to be sent
	wake       chan struct{}      // has an element when requests has
	creating   []*creation        // whose answers are to come, in that order
	asked      int                // how many of them were sent
	ids        watchIDs
	answerBy   time.Time // zero when no answer is awaited
	pinged     time.Time // when the last ping was sent, or the stream begun
	up         bool      // an answer came
}

// creation is a request to create a watch.
type creation struct {
	request *pb.WatchCreateRequest
	watch   *watch // nil for a ping, and when the watch is not wanted any more
	ping    bool
}

// watchIDs says who chooses the IDs of watches.
type watchIDs int

const (
	idsUnknown watchIDs = iota
	// idsOurs: the server takes the ID that the request has, and answers in the order
	// of the requests, as etcd does.
	idsOurs
	// idsTheirs: the server chooses, and answers in any order, as etcd's gRPC proxy
	// does. One request at a time is sent, so that an answer is to that one.
	idsTheirs
)

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
	if w.generation != h.s.history.now().generation {
		h.fail(w, kvdb.ErrWatchRevisionCompacted)
		return true
	}
	h.create(w)
	return true
}

// wentBack ends the watches on a history that is not the store's any more, and
// the stream, which may lead to where that one still is.
func (h *hub) wentBack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.s.history.now().generation
	for w := range h.watches {
		if w.generation != now {
			h.fail(w, kvdb.ErrWatchRevisionCompacted)
		}
	}
	if h.stream != nil && h.stream.generation != now {
		h.stream.cancel()
	}
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
	w.creation = &creation{&pb.WatchCreateRequest{
		Key: w.keys.key, RangeEnd: w.keys.end, StartRevision: w.next, WatchId: h.lastID, ProgressNotify: true, Fragment: true,
	}, w, false}
	h.stream.create(w.creation)
}

// cancel ends w on the present stream. The caller holds mu.
func (h *hub) cancel(w *watch) {
	if w.live {
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
	for again := false; ; again = true {
		up, err := h.serve(again)
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

// serve opens a stream and carries the watches over it until it fails. up reports
// whether the server answered on it. When there was a stream before, the watches
// go on only after the store has shown that its history is the same.
func (h *hub) serve(again bool) (up bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(h.s.lifetime))
	stream := &hubStream{
		cancel: cancel, wake: make(chan struct{}, 1), generation: h.s.history.now().generation,
		answerBy: time.Now().Add(answerTime), pinged: time.Now(),
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { h.supervise(ctx, stream) })
	client, err := h.s.watcher.Watch(ctx, h.s.callOpts...)
	if err != nil {
		h.refuse(err)
		return false, err
	}
	wg.Go(func() { h.send(stream, client) })

	keys, watched := h.someKeys()
	verify := again && watched
	if verify {
		h.mu.Lock()
		h.ping(stream, keys)
		h.mu.Unlock()
	} else {
		err = h.resume(stream)
	}
	for err == nil {
		var message *pb.WatchResponse
		if message, err = client.Recv(); err == nil {
			err = h.receive(stream, message)
		}
		if err == nil && verify { // the connection is there: what is asked now is not older
			verify = false
			if err = h.s.verifyHistory(ctx, keys); err == nil {
				err = h.resume(stream)
			}
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

// refuse ends the watches that were never created when a stream cannot be opened
// for a reason that stays, such as a wrong password. The others wait for a better
// time.
func (h *hub) refuse(err error) {
	if fateOf(h.s.lifetime, err, true) != refused {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watches {
		if !w.known {
			h.fail(w, refusal(err))
		}
	}
}

// someKeys returns the keys of a watch, which the user may read; false when there
// is none.
func (h *hub) someKeys() (keys keyRange, watched bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watches {
		return w.keys, true
	}
	return keyRange{}, false
}

// resume makes a stream the present one, and asks for the events of all watches.
func (h *hub) resume(stream *hubStream) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.s.history.now().generation
	if stream.generation != now {
		return errors.New("etcd's history went back")
	}
	h.stream = stream
	for w := range h.watches {
		if w.generation != now {
			h.fail(w, kvdb.ErrWatchRevisionCompacted)
		} else if !w.parked {
			h.create(w)
		}
	}
	if len(stream.creating) == 0 && !stream.up { // all are parked: nothing else would be answered
		for w := range h.watches {
			h.ping(stream, w.keys)
			break
		}
	}
	return nil
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
			h.askProgress()
		}
		h.mu.Unlock()
	}
}

// askProgress makes the server answer. And it asks how far the watches have come,
// so that those that see no events do not fall behind a compaction; etcd answers
// that only when all have come as far as the store. (It may answer before it sends
// events up to there, until 3.4.25 and 3.5.8: so the answer is not taken for those
// that do see events.) A proxy does not know that request; there such watches get
// only the news that the server sends by itself, every 10 minutes. There is a
// watch. The caller holds mu.
func (h *hub) askProgress() {
	var keys keyRange
	for w := range h.watches {
		keys = w.keys
		w.asked, w.busy = w.live && !w.busy, false
	}
	h.ping(h.stream, keys)
	if h.stream.ids == idsOurs {
		h.stream.enqueue(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
	}
}

// ping creates a watch, which is cancelled again, because that is always answered.
// The caller holds mu.
func (h *hub) ping(stream *hubStream, keys keyRange) {
	stream.pinged = time.Now()
	h.lastID++
	stream.create(&creation{&pb.WatchCreateRequest{Key: keys.key, RangeEnd: keys.end, WatchId: h.lastID}, nil, true})
}

func (s *hubStream) enqueue(r *pb.WatchRequest) {
	s.requests = append(s.requests, r)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *hubStream) create(c *creation) {
	s.creating = append(s.creating, c)
	s.sendCreations()
}

// sendCreations sends the requests that may be sent now: all, or one at a time as
// long as the server has not shown that it takes our IDs.
func (s *hubStream) sendCreations() {
	for s.asked < len(s.creating) && (s.asked == 0 || s.ids == idsOurs) {
		c := s.creating[s.asked]
		s.enqueue(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c.request}})
		s.asked++
	}
	if s.asked > 0 && s.answerBy.IsZero() {
		s.answerBy = time.Now().Add(answerTime)
	}
}

func (s *hubStream) cancelWatch(id int64) {
	s.enqueue(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
}

// receive takes one message. An error means that the stream is of no use.
func (h *hub) receive(stream *hubStream, m *pb.WatchResponse) error {
	if known := h.s.history.now(); known.generation == stream.generation {
		h.s.history.learn(known, m.Header, false, lastWrite(m.Events))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	stream.answerBy = time.Time{}
	stream.up = stream.up || !m.Created || !m.Canceled // a proxy refuses when it reaches no server
	defer stream.sendCreations()
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
		if !w.keys.contain(m.Events) {
			return errors.New("etcd has sent an event of a key that is not watched")
		}
		w.push(m)
		if w.queued > maxQueued {
			h.cancel(w)
			w.parked = true
		}
	case m.WatchId == clientv3.InvalidWatchID: // how far all have come that were there when we asked
		for _, w := range h.byID {
			if w.asked {
				w.next = max(w.next, m.Header.GetRevision()+1)
			}
		}
	default:
		if w := h.byID[m.WatchId]; w != nil {
			w.next = max(w.next, m.Header.GetRevision()+1)
		}
	}
	return nil
}

// created takes the answer to a request to create a watch: to the oldest. The
// caller holds mu.
func (h *hub) created(stream *hubStream, m *pb.WatchResponse) error {
	if stream.asked == 0 {
		return errors.New("etcd has created a watch that was not asked for")
	}
	c := stream.creating[0]
	if m.Canceled {
		return h.refused(stream, c, m.CancelReason)
	}
	if stream.ids == idsUnknown {
		stream.ids = idsTheirs
		if m.WatchId == c.request.WatchId {
			stream.ids = idsOurs
		}
	}
	if stream.ids == idsOurs && m.WatchId != c.request.WatchId || h.byID[m.WatchId] != nil {
		return fmt.Errorf("etcd has created watch %d, and was asked for %d", m.WatchId, c.request.WatchId)
	}
	stream.answered()
	w := c.watch
	if c.ping && stream.ids == idsTheirs {
		// The proxy rides out what happens to its servers, and does not tell.
		h.s.launch(func() { _ = h.s.verifyHistory(h.s.lifetime, keyRange{c.request.Key, c.request.RangeEnd}) })
	}
	if w == nil {
		stream.cancelWatch(m.WatchId)
		return nil
	}
	w.creation, w.id, w.live, w.known = nil, m.WatchId, true, true
	h.byID[w.id] = w
	if w.next == 0 {
		w.next = max(m.Header.GetRevision(), w.after) + 1
	}
	w.signal()
	return nil
}

// answered removes the oldest request to create a watch.
func (s *hubStream) answered() {
	s.creating[0] = nil
	s.creating = s.creating[1:]
	s.asked--
}

// refused takes the reason why a watch was not created. It stays when the user may
// not read the keys, or when there must be a user and the instance has none. For
// any other reason there is a new stream, which logs in. The caller holds mu.
func (h *hub) refused(stream *hubStream, c *creation, reason string) error {
	err := watchError(reason)
	stays := errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrUserEmpty) && h.s.client.Username == ""
	if !stays {
		return err
	}
	stream.up = true // it is an answer
	stream.answered()
	if w := c.watch; w != nil {
		w.creation = nil
		h.fail(w, refusal(err))
	}
	return nil
}

// watchError turns the text of a gRPC error, which is all that etcd sends, into
// an error that can be compared.
func watchError(reason string) error {
	for _, known := range []error{
		rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCAuthOldRevision, rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCUserEmpty,
	} {
		if reason == known.Error() || reason == rpctypes.ErrorDesc(known) { // a proxy sends the latter
			return rpctypes.Error(known)
		}
	}
	return fmt.Errorf("etcd has not created a watch: %q", reason)
}
