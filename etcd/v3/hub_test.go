package etcdv3

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// answered is a hub with a stream whose messages the test sends.
type answered struct {
	*hub
	stream *watchStream
}

func newAnswered() answered {
	s := &store{}
	s.hub = newHub(s)
	s.history.onWentBack = s.hub.wentBack
	a := answered{s.hub, &watchStream{wake: make(chan struct{}, 1), cancel: func(error) {}}}
	a.hub.stream = a.stream
	return a
}

func (a answered) watch(key string) *watch {
	w := &watch{h: a.hub, keys: keyRange{key: []byte(key)}, wake: make(chan struct{}, 1), next: 1}
	a.watches[w] = struct{}{}
	a.create(w)
	return w
}

// sent returns the requests to create a watch that were sent since the last call.
func (a answered) sent() (requests []*pb.WatchCreateRequest) {
	for _, r := range a.stream.requests {
		requests = append(requests, r.GetCreateRequest())
	}
	a.stream.requests = nil
	return requests
}

func (a answered) answer(m *pb.WatchResponse) error { return a.receive(a.stream, m) }

func eventOf(id int64, key string) *pb.WatchResponse {
	return &pb.WatchResponse{WatchId: id, Events: []*mvccpb.Event{{Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: 9}}}}
}

// Events belong to the watch of their ID, whatever the order of the requests. A server
// that uses the IDs of the client gets all requests at once, others one at a time.
func TestWatchIDs(t *testing.T) {
	t.Run("chosen by the client", func(t *testing.T) {
		a := newAnswered()
		watches := []*watch{a.watch("a"), a.watch("b"), a.watch("c")}
		first := a.sent()
		require.Len(t, first, 1)
		require.NoError(t, a.answer(&pb.WatchResponse{Created: true, WatchId: first[0].WatchId}))
		rest := a.sent()
		require.Len(t, rest, 2)
		for _, r := range rest {
			require.NoError(t, a.answer(&pb.WatchResponse{Created: true, WatchId: r.WatchId}))
		}
		require.NoError(t, a.answer(eventOf(rest[0].WatchId, "b")))
		require.Empty(t, watches[0].queue)
		require.Len(t, watches[1].queue, 1)
		require.ErrorContains(t, a.answer(eventOf(rest[0].WatchId, "c")), "a key that is not watched")
		require.ErrorContains(t, a.answer(&pb.WatchResponse{Created: true, WatchId: 99}), "not asked for")
		d := a.watch("d")
		require.ErrorContains(t, a.answer(&pb.WatchResponse{Created: true, WatchId: d.creation.request.WatchId + 1}), "was asked for")
	})
	t.Run("chosen by the server", func(t *testing.T) {
		a := newAnswered()
		watches := []*watch{a.watch("a"), a.watch("b"), a.watch("c")}
		for id := range int64(3) {
			require.Len(t, a.sent(), 1)
			require.NoError(t, a.answer(&pb.WatchResponse{Created: true, WatchId: id}))
		}
		require.Empty(t, a.sent())
		for id, key := range []string{"a", "b", "c"} {
			require.NoError(t, a.answer(eventOf(int64(id), key)))
			require.Len(t, watches[id].queue, 1)
		}
		a.watch("d")
		require.ErrorContains(t, a.answer(&pb.WatchResponse{Created: true, WatchId: 1}), "was asked for", "an ID twice")
	})
	t.Run("given up", func(t *testing.T) {
		a := newAnswered()
		w, next := a.watch("a"), a.watch("b")
		a.remove(w)
		require.Len(t, a.sent(), 1)
		require.NoError(t, a.answer(&pb.WatchResponse{Created: true, WatchId: 0}))
		require.EqualValues(t, 0, a.stream.requests[0].GetCancelRequest().WatchId)
		require.NoError(t, a.answer(&pb.WatchResponse{Created: true, WatchId: 1}))
		require.True(t, next.live)
		require.False(t, w.live)
	})
	t.Run("refused", func(t *testing.T) {
		a := newAnswered()
		a.watch("a")
		require.ErrorContains(t, a.answer(&pb.WatchResponse{Created: true, Canceled: true, WatchId: -1, CancelReason: "why not"}), "why not")
		require.False(t, a.stream.up, "no server has answered")
	})
}

func TestKeyRange(t *testing.T) {
	events := func(keys ...string) (all []*mvccpb.Event) {
		for _, key := range keys {
			all = append(all, &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte(key)}})
		}
		return all
	}
	one, tree, last, all := keyRange{key: []byte("b")}, below("b/"), below("\xff"), below("")
	require.True(t, one.contain(events("b", "b")))
	require.False(t, one.contain(events("b", "b/")))
	require.False(t, one.contain(events("a")))
	require.True(t, tree.contain(events("b/", "b/c", "b/\xff\xff")))
	require.False(t, tree.contain(events("b/c", "b0")))
	require.False(t, tree.contain(events("b")))
	require.True(t, last.contain(events("\xff", "\xff\xff")))
	require.False(t, last.contain(events("\xfe\xff")))
	require.True(t, all.contain(events("\x00", "a", "\xff\xff")))
}
