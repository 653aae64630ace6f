package etcdv3

import (
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/portworx/kvdb"
)

// maxQueued is how many bytes of events may wait for a slow callback. The events
// after that stay in the server's history until the callback has caught up.
const maxQueued = 4 << 20

// receive handles one message. It returns an error when the stream must be given
// up.
func (h *hub) receive(stream *watchStream, m *pb.WatchResponse) error {
	if known := h.s.history.now(); known.generation == stream.generation {
		h.s.history.learn(known, m.Header, false, lastWrite(m.Events))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	stream.answerBy = time.Time{}
	stream.up = stream.up || !m.Created || !m.Canceled // a proxy that reaches no server sends both
	defer stream.sendCreations()
	if m.Created {
		return h.created(stream, m)
	}
	next := m.Header.GetRevision() + 1
	switch w := h.byID[m.WatchId]; {
	case m.WatchId == clientv3.InvalidWatchID && !m.Canceled: // the progress of all watches
		for _, w := range h.byID {
			if w.asked {
				w.next = max(w.next, next)
			}
		}
	case w == nil: // The hub has canceled the watch.
	case m.Canceled && m.CompactRevision == 0:
		return fmt.Errorf("etcd has ended a watch: %s", m.CancelReason)
	case m.Canceled:
		h.fail(w, kvdb.ErrWatchRevisionCompacted)
	case len(m.Events) == 0: // the progress of this watch
		w.next = max(w.next, next)
	case !w.keys.contain(m.Events):
		return errors.New("etcd has sent an event of a key that is not watched")
	default:
		w.push(m)
		if w.queued > maxQueued {
			h.cancel(w)
			w.paused = true
		}
	}
	return nil
}

// created handles the answer to the oldest request to create a watch. The caller
// holds mu.
func (h *hub) created(stream *watchStream, m *pb.WatchResponse) error {
	if stream.asked == 0 {
		return errors.New("etcd has created a watch that was not asked for")
	}
	c := stream.creating[0]
	if m.Canceled {
		return h.refused(stream, c, m.CancelReason)
	}
	if stream.ids == idsUnknown {
		stream.ids = idsByServer
		if m.WatchId == c.request.WatchId {
			stream.ids = idsByClient
		}
	}
	if stream.ids == idsByClient && m.WatchId != c.request.WatchId || h.byID[m.WatchId] != nil {
		return fmt.Errorf("etcd has created watch %d, and was asked for %d", m.WatchId, c.request.WatchId)
	}
	stream.answered()
	w := c.watch
	if c.ping && stream.ids == idsByServer {
		// A proxy keeps the stream open when its servers change, so the end of the
		// stream does not show it.
		h.s.life.Go(func() { _ = h.s.verifyHistory(h.s.life.Context(), keyRange{c.request.Key, c.request.RangeEnd}) })
	}
	if w == nil {
		stream.cancelWatch(m.WatchId)
		return nil
	}
	if w.once && w.made != h.s.history.made.Load() {
		w.creation = nil
		stream.cancelWatch(m.WatchId)
		h.fail(w, errInterrupted)
		return nil
	}
	w.creation, w.id, w.live, w.known = nil, m.WatchId, true, true
	h.byID[w.id] = w
	w.observer.Resumed()
	if w.next == 0 {
		w.next = max(m.Header.GetRevision(), w.after) + 1
	}
	w.signal()
	return nil
}

// refused handles the reason why a watch was not created. The reason is permanent
// when the user may not read the keys, or when etcd requires a user and the instance
// has none. Any other reason ends the stream; the next one logs in again. The caller
// holds mu.
func (h *hub) refused(stream *watchStream, c *creation, reason string) error {
	err := watchError(reason)
	permanent := errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrUserEmpty) && h.s.client.Username == ""
	if !permanent {
		return err
	}
	stream.up = true // A refusal is an answer.
	stream.answered()
	if w := c.watch; w != nil {
		w.creation = nil
		h.fail(w, refusal(err))
	}
	return nil
}

// watchError returns an error that can be compared. etcd sends only the text of a
// gRPC error as the reason why it has not created a watch.
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
