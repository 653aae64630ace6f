package etcdv3

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// Each of many watches of one instance gets its own events, also after their stream
// broke. The watches share one stream and need no lease.
func TestManyWatches(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{Members: 3})
	var opened atomic.Int32
	count := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		opened.Add(1)
		return open(ctx, desc, cc, method, opts...)
	}
	kv, writer := instance(t, cluster, "many", nil, grpc.WithChainStreamInterceptor(count)), instance(t, cluster, "many", nil)
	const watches = 1000
	var streams []<-chan *kvdb.KVPair
	for i := range watches {
		streams = append(streams, events(t, kv, fmt.Sprintf("dir/%d/", i), 0))
	}
	all := events(t, kv, "dir/", 0)
	require.Less(t, opened.Load(), int32(5)) // more than one when the machine is busy
	require.Zero(t, leases(t, raw(t, cluster)))
	written := map[string]uint64{}
	write := func(round int) {
		for i := range watches {
			key := fmt.Sprintf("dir/%d/%d", i, round)
			eventually(t, "no write succeeds", func() bool {
				pair, err := writer.Put(key, "value", 0)
				if err == nil {
					written[key] = pair.ModifiedIndex
				}
				return err == nil
			})
		}
	}
	write(0)
	for _, m := range cluster.All() {
		require.NoError(t, m.Clients().Cut())
		require.NoError(t, m.Clients().Heal())
	}
	write(1)
	for i, stream := range streams {
		for round := range 2 {
			event := receive(t, stream, "an event")
			key := fmt.Sprintf("dir/%d/%d", i, round)
			for event.Key == fmt.Sprintf("dir/%d/%d", i, 0) && round == 1 { // a write with an unknown outcome was repeated
				event = receive(t, stream, "an event")
			}
			require.Equal(t, key, event.Key)
			require.LessOrEqual(t, event.ModifiedIndex, written[key])
		}
	}
	last := uint64(0)
	for last < written[fmt.Sprintf("dir/%d/1", watches-1)] {
		event := receive(t, all, "an event")
		require.Greater(t, event.ModifiedIndex, last)
		last = event.ModifiedIndex
	}
}

// A callback that hangs does not delay other watches, and few of its events are kept
// in memory. It gets the rest when it continues.
func TestSlowWatch(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	s, err := open("slow", cluster.Endpoints(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	open := func() *watch {
		stream, err := s.Watch(t.Context(), driver.WatchRequest{Key: "slow/", Prefix: true})
		require.NoError(t, err)
		return stream.(*watch)
	}
	slow, quick := open(), open()
	defer slow.Close()
	defer quick.Close()
	const writes, size = 600, 16 << 10
	value := []byte(strings.Repeat("x", size))
	next := func(w *watch, seen int) int {
		pairs, err := w.Next()
		require.NoError(t, err)
		for _, pair := range pairs {
			require.Equal(t, fmt.Sprintf("slow/%03d", seen), pair.Key)
			seen++
		}
		return seen
	}
	seen := 0
	for i := range writes {
		_, err := s.Put(t.Context(), driver.Write{Key: fmt.Sprintf("slow/%03d", i), Value: value})
		require.NoError(t, err)
		for seen <= i {
			seen = next(quick, seen)
		}
	}
	s.hub.mu.Lock()
	queued := slow.queued
	s.hub.mu.Unlock()
	require.Less(t, queued, writes*size/2)
	for seen = 0; seen < writes; {
		seen = next(slow, seen)
	}
}

// A watch that has missed events that are compacted ends with an error.
func TestSlowWatchCompacted(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	s, err := open("slow", cluster.Endpoints(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	w, err := s.Watch(t.Context(), driver.WatchRequest{Key: "slow/", Prefix: true})
	require.NoError(t, err)
	defer w.Close()
	value := []byte(strings.Repeat("x", 64<<10))
	var last driver.Indexes
	for range 200 {
		last, err = s.Put(t.Context(), driver.Write{Key: "slow/key", Value: value})
		require.NoError(t, err)
	}
	require.NoError(t, s.Compact(t.Context(), last.Modified))
	index := uint64(0)
	for err == nil {
		var pairs []*kvdb.KVPair
		pairs, err = w.Next()
		for _, pair := range pairs {
			require.True(t, index == 0 || pair.ModifiedIndex == index+1)
			index = pair.ModifiedIndex
		}
	}
	require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
	require.Positive(t, index)
}

// A watch without events survives a compaction and a reconnect while others write,
// because it gets progress notifications, also when the stream is never silent.
func TestQuietWatchOverCompaction(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	for _, busy := range []bool{false, true} {
		s, err := open("", cluster.Endpoints(), nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close(t.Context())) }()
		s.hub.pingEvery = time.Second
		stream, err := s.Watch(t.Context(), driver.WatchRequest{Key: "quiet/", Prefix: true})
		require.NoError(t, err)
		quiet := stream.(*watch)
		defer quiet.Close()
		if busy {
			beside, err := s.Watch(t.Context(), driver.WatchRequest{Key: "busy"})
			require.NoError(t, err)
			defer beside.Close()
		}
		put := func(key string) int64 {
			indexes, err := s.Put(t.Context(), driver.Write{Key: key})
			require.NoError(t, err)
			return int64(indexes.Modified)
		}
		next := func() int64 {
			s.hub.mu.Lock()
			defer s.hub.mu.Unlock()
			return quiet.next
		}
		began := put("busy")
		eventually(t, "the watch gets no progress notification", func() bool { return put("busy") > 0 && next() > began+10 })
		require.NoError(t, s.Compact(t.Context(), uint64(next()-1)))
		require.NoError(t, cluster.All()[0].Clients().Cut())
		require.NoError(t, cluster.All()[0].Clients().Heal())
		eventually(t, "no write succeeds", func() bool {
			_, err := s.Put(t.Context(), driver.Write{Key: "quiet/key"})
			return err == nil
		})
		pairs, err := quiet.Next()
		require.NoError(t, err, "the watch is over")
		require.Equal(t, "quiet/key", pairs[0].Key)
	}
}

// A watch whose callback hangs is not given up when its stream breaks and the store
// can be reached again, also if it is the only watch.
func TestSlowWatchOverReconnect(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	s, err := open("", cluster.Endpoints(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	stream, err := s.Watch(t.Context(), driver.WatchRequest{Key: "slow/", Prefix: true})
	require.NoError(t, err)
	defer stream.Close()
	state := func() (paused bool, on *watchStream, up bool) {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		return stream.(*watch).paused, s.hub.stream, s.hub.stream != nil && s.hub.stream.up
	}
	writes, value := 0, make([]byte, 256<<10)
	eventually(t, "all events are in memory", func() bool {
		_, err := s.Put(t.Context(), driver.Write{Key: fmt.Sprintf("slow/%03d", writes), Value: value})
		require.NoError(t, err)
		writes++
		paused, _, _ := state()
		return paused
	})
	_, before, _ := state()
	require.NoError(t, cluster.All()[0].Clients().Cut())
	require.NoError(t, cluster.All()[0].Clients().Heal())
	eventually(t, "the server is not known to be back", func() bool {
		_, on, up := state()
		return up && on != before
	})
	for seen := 0; seen < writes; {
		pairs, err := stream.Next()
		require.NoError(t, err)
		for _, pair := range pairs {
			require.Equal(t, fmt.Sprintf("slow/%03d", seen), pair.Key)
			seen++
		}
	}
}

// A watch notices that its member is silent although the connection is open, and
// continues with another member.
func TestWatchOverSilentMember(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{Members: 3})
	kv := instance(t, cluster, "silent", nil)
	stream := events(t, kv, "", 0)
	writer := raw(t, cluster)
	for i, m := range cluster.All() {
		require.NoError(t, m.Clients().Blackhole())
		key := fmt.Sprintf("silent/%d", i)
		_, err := writer.Put(t.Context(), key, "value")
		require.NoError(t, err)
		require.Equal(t, key[len("silent/"):], receive(t, stream, "the event").Key)
		require.NoError(t, m.Clients().Heal())
	}
}

// When a message ends in the middle of a revision, the events of that revision are
// kept back until the rest arrives, and dropped when the stream ends.
func TestFragments(t *testing.T) {
	w := &watch{h: &hub{}, ctx: context.Background(), wake: make(chan struct{}, 1), next: 5}
	message := func(more bool, revisions ...int64) {
		m := &pb.WatchResponse{Fragment: more}
		for _, r := range revisions {
			m.Events = append(m.Events, &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("key"), ModRevision: r}})
		}
		w.push(m)
	}
	got := func() []int64 {
		var revisions []int64
		for _, e := range w.queue {
			revisions = append(revisions, e.Kv.ModRevision)
		}
		w.queue = nil
		return revisions
	}
	message(true, 5, 6, 7, 7)
	require.Equal(t, []int64{5, 6}, got())
	require.EqualValues(t, 7, w.next)
	message(true, 7, 7)
	require.Empty(t, got())
	require.EqualValues(t, 7, w.next)
	message(true, 7, 8)
	require.Equal(t, []int64{7, 7, 7, 7, 7}, got())
	require.EqualValues(t, 8, w.next)
	message(false, 8, 9)
	require.Equal(t, []int64{8, 8, 9}, got())
	require.EqualValues(t, 10, w.next)
	message(true, 10, 11)
	w.detach()
	require.Equal(t, []int64{10}, got())
	require.EqualValues(t, 11, w.next)
	message(false, 11, 12)
	require.Equal(t, []int64{11, 12}, got())
}

// Events too large for one message arrive completely.
func TestLargeEvents(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	kv := instance(t, cluster, "large", nil)
	start, err := kv.Put("start", "", 0)
	require.NoError(t, err)
	for i := range 12 {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for j := range 4 {
			_, err := tx.Put(fmt.Sprintf("dir/%d/%d", i, j), strings.Repeat("x", 300<<10), 0)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
	}
	stream := events(t, kv, "dir/", start.ModifiedIndex)
	for i := range 12 {
		for j := range 4 {
			event := receive(t, stream, "an event")
			require.Equal(t, fmt.Sprintf("dir/%d/%d", i, j), event.Key)
			require.Len(t, event.Value, 300<<10)
		}
	}
}
