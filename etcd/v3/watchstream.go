package etcdv3

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/portworx/kvdb/driver"
)

const (
	// answerTime is how long a member may take to answer on the watch stream,
	// pingEvery how often it is asked for an answer.
	answerTime = 5 * time.Second
	pingEvery  = 10 * time.Second
	// hubIdle is how long the stream is kept open without a watch.
	hubIdle = 30 * time.Second
)

// watchStream is one gRPC stream. The hub's mutex protects its fields, which are
// not used after the stream has failed.
type watchStream struct {
	cancel     context.CancelCauseFunc
	generation int                // of the store's history
	requests   []*pb.WatchRequest // to be sent
	wake       chan struct{}      // has an element when there are requests
	creating   []*creation        // not answered yet, in the order of the answers
	asked      int                // how many of creating were sent
	ids        watchIDs
	answerBy   time.Time // zero when no answer is awaited
	pinged     time.Time // when the last ping was sent, or the stream was opened
	up         bool      // whether the server has answered
}

// creation is a request to create a watch.
type creation struct {
	request *pb.WatchCreateRequest
	watch   *watch // nil for a ping, and for a watch that is not wanted any more
	ping    bool
}

// watchIDs is who chooses the IDs of watches.
type watchIDs int

const (
	idsUnknown watchIDs = iota
	// idsByClient is how etcd works: the server uses the ID of the request, and
	// answers in the order of the requests.
	idsByClient
	// idsByServer is how etcd's gRPC proxy works: it chooses the ID, and answers in
	// any order. One request at a time is sent, so the answer belongs to it.
	idsByServer
)

func newWatchStream(generation int, cancel context.CancelCauseFunc) *watchStream {
	return &watchStream{
		cancel: cancel, wake: make(chan struct{}, 1), generation: generation,
		answerBy: time.Now().Add(answerTime), pinged: time.Now(),
	}
}

func (s *watchStream) enqueue(r *pb.WatchRequest) {
	s.requests = append(s.requests, r)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *watchStream) create(c *creation) {
	s.creating = append(s.creating, c)
	s.sendCreations()
}

// sendCreations sends the requests that may be sent now: all of them, or one at a
// time until the server has shown that it uses the client's IDs.
func (s *watchStream) sendCreations() {
	for s.asked < len(s.creating) && (s.asked == 0 || s.ids == idsByClient) {
		c := s.creating[s.asked]
		s.enqueue(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c.request}})
		s.asked++
	}
	if s.asked > 0 && s.answerBy.IsZero() {
		s.answerBy = time.Now().Add(answerTime)
	}
}

// answered removes the oldest request to create a watch.
func (s *watchStream) answered() {
	s.creating[0] = nil
	s.creating = s.creating[1:]
	s.asked--
}

func (s *watchStream) cancelWatch(id int64) {
	s.enqueue(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
}

// send sends the stream's requests until the stream fails. Only this goroutine
// sends, so nobody waits for the server while receiving or holding the mutex.
func (h *hub) send(stream *watchStream, client pb.Watch_WatchClient) {
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
				return // Recv returns the error.
			}
		}
	}
}

// supervise ends the stream when the server does not answer, or when there has
// been no watch for hubIdle.
func (h *hub) supervise(ctx context.Context, stream *watchStream) {
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
		case !stream.answerBy.IsZero() && now.After(stream.answerBy):
			stream.cancel(driver.ErrTimeLimit)
		case idle > hubIdle:
			stream.cancel(nil)
		case stream.answerBy.IsZero() && now.Sub(stream.pinged) > h.pingEvery && h.stream == stream:
			h.askProgress()
		}
		h.mu.Unlock()
	}
}

// askProgress pings the server, and asks for a progress notification, so that
// watches without events do not fall behind a compaction. etcd sends that
// notification only when all watches have caught up with the store. Before 3.4.25
// and 3.5.8 it may send it ahead of earlier events, so it does not count for watches
// that receive events. etcd's gRPC proxy does not support the request; its watches
// get only the notifications that the server sends every 10 minutes. The caller
// holds mu.
func (h *hub) askProgress() {
	for w := range h.watches {
		w.asked, w.busy = w.live && !w.busy, false
	}
	if h.ping(h.stream) && h.stream.ids == idsByClient {
		h.stream.enqueue(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
	}
}

// ping asks the server to create a watch, which it always answers; the answer
// cancels the watch. It watches the keys of some other watch, because the user may
// read them. Without a watch it sends nothing and returns false. The caller holds mu.
func (h *hub) ping(stream *watchStream) (sent bool) {
	for w := range h.watches {
		stream.pinged = time.Now()
		h.lastID++
		stream.create(&creation{
			request: &pb.WatchCreateRequest{Key: w.keys.key, RangeEnd: w.keys.end, WatchId: h.lastID}, ping: true,
		})
		return true
	}
	return false
}

// someKeys returns the keys of some watch, which the user may read, or none.
func (h *hub) someKeys() keyRange {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watches {
		return w.keys
	}
	return keyRange{}
}
