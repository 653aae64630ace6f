package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/retry"
)

// hub carries all watches of an instance over one gRPC stream, and moves them to
// a new stream when that one fails. The watcher of the client library is not used,
// because it keeps any number of events in memory for a slow consumer, does not
// report that it lost the server, and needs several goroutines per watch.
type hub struct {
	s         *store
	pingEvery time.Duration // set before the first watch

	// mu protects the fields below, those of watchStream, and those of watch that
	// its comment names.
	mu      sync.Mutex
	watches map[*watch]struct{}
	byID    map[int64]*watch // the watches that the server has created on stream
	lastID  int64            // the last watch ID that was asked for; no ID is used twice
	stream  *watchStream     // nil between two streams
	running bool             // whether run is running
}

func newHub(s *store) *hub {
	return &hub{s: s, pingEvery: pingEvery, watches: map[*watch]struct{}{}, byID: map[int64]*watch{}}
}

// add registers w. It returns false after the store's Close.
func (h *hub) add(w *watch) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.running {
		if !h.s.life.Go(h.run) {
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

// wentBack ends the watches of an earlier generation of the history. It also ends
// the stream, which may lead to a server that still has that history.
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
		h.stream.cancel(errWentBack)
	}
}

// remove forgets w.
func (h *hub) remove(w *watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watches, w)
	h.cancel(w)
}

// create asks the server for w's events on the present stream, if there is one.
// The caller holds mu.
func (h *hub) create(w *watch) {
	if h.stream == nil {
		return
	}
	h.lastID++
	w.creation = &creation{request: &pb.WatchCreateRequest{
		Key: w.keys.key, RangeEnd: w.keys.end, StartRevision: w.next, WatchId: h.lastID, ProgressNotify: true, Fragment: true,
	}, watch: w}
	h.stream.create(w.creation)
}

// cancel ends w on the present stream. The caller holds mu.
func (h *hub) cancel(w *watch) {
	if w.live {
		h.stream.cancelWatch(w.id)
		delete(h.byID, w.id)
	}
	w.detach()
}

// fail ends w with err. The caller holds mu.
func (h *hub) fail(w *watch, err error) {
	delete(h.watches, w)
	h.cancel(w)
	w.err = err
	w.signal()
}

// run keeps a stream open while there are watches.
func (h *hub) run() {
	backoff := retry.Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	lastUp := time.Now()
	for again := false; ; again = true {
		up, err := h.serve(again)
		if up {
			lastUp = time.Now()
			backoff.Reset()
		}
		end := backoff.Wait(h.s.life.Context())
		if end == nil && time.Since(lastUp) > driver.WatchTimeout {
			end = fmt.Errorf("%w: %w", kvdb.ErrNoConnection, err)
		}
		h.mu.Lock()
		if end != nil {
			for w := range h.watches {
				h.fail(w, end)
			}
		}
		h.running = len(h.watches) > 0
		running := h.running
		h.mu.Unlock()
		if !running {
			return
		}
	}
}

// serve opens a stream and carries the watches over it until it fails. up reports
// whether the server answered on it. If there was a stream before, or a connection was made
// since the history was last verified, serve resumes the watches, or hands on their events,
// only after the store has shown that its history is the same.
func (h *hub) serve(again bool) (up bool, err error) {
	ctx, cancel := context.WithCancelCause(clientv3.WithRequireLeader(h.s.life.Context()))
	stream := newWatchStream(h.s.history.now().generation, cancel)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() { h.supervise(ctx, stream) })
	client, err := h.s.watcher.Watch(ctx, h.s.callOpts...)
	if err != nil {
		h.refuse(err)
		return false, err
	}
	wg.Go(func() { h.send(stream, client) })
	err = h.carry(ctx, stream, client, again)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	h.leave(err)
	return stream.up, err
}

// carry handles the messages of a stream until it fails. The server is connected when it
// sends the first one, so its answers are not older than the stream.
func (h *hub) carry(ctx context.Context, stream *watchStream, client pb.Watch_WatchClient, again bool) error {
	verify := false
	if again || !h.s.history.isVerified() {
		h.mu.Lock()
		verify = h.ping(stream)
		h.mu.Unlock()
	}
	if !verify {
		if err := h.resume(stream); err != nil {
			return err
		}
	}
	for {
		message, err := client.Recv()
		if err != nil {
			return err
		}
		if !verify && !stream.up && !h.s.history.isVerified() {
			if err := h.s.verifyHistory(ctx, h.someKeys()); err != nil {
				return err
			}
		}
		if err := h.receive(stream, message); err != nil {
			return err
		}
		if verify {
			verify = false
			if err := h.s.verifyHistory(ctx, h.someKeys()); err != nil {
				return err
			}
			if err := h.resume(stream); err != nil {
				return err
			}
		}
	}
}

// leave takes the watches off the stream, which has failed with err.
func (h *hub) leave(err error) {
	isClosed := h.s.life.Context().Err() != nil
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watches {
		if w.known && !isClosed {
			w.observer.Interrupted(fmt.Errorf("%w: %w", kvdb.ErrNoConnection, err))
		}
		if w.once && (w.live || w.creation != nil) {
			h.fail(w, errInterrupted)
		}
		w.detach()
	}
	h.stream = nil
	clear(h.byID)
}

// refuse ends the watches that were never created if the error of opening a stream
// is permanent, such as a wrong password. Watches that were created before wait for
// the next stream.
func (h *hub) refuse(err error) {
	if fateOf(err, true) != call.Refused {
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

var errWentBack = errors.New("etcd's history went back")

// resume makes stream the present one, and asks for the events of all watches.
func (h *hub) resume(stream *watchStream) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.s.history.now().generation
	if stream.generation != now {
		return errWentBack
	}
	h.stream = stream
	for w := range h.watches {
		switch {
		case w.generation != now:
			h.fail(w, kvdb.ErrWatchRevisionCompacted)
		case w.paused:
			w.observer.Resumed() // it has events for Next
		default:
			h.create(w)
		}
	}
	if len(stream.creating) == 0 && !stream.up {
		h.ping(stream) // All watches are paused, so nothing else would be answered.
	}
	return nil
}
