package etcdv2

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// index returns a function that returns the index of a write or a delete.
func index(t *testing.T) func(*kvdb.KVPair, error) uint64 {
	return func(pair *kvdb.KVPair, err error) uint64 {
		t.Helper()
		require.NoError(t, err)
		return max(pair.ModifiedIndex, pair.KVDBIndex)
	}
}

// A watch does not end after more events of other keys than the server remembers, even
// if its connection breaks then.
func TestQuietWatch(t *testing.T) {
	t.Parallel()
	cluster, index, n := servers.Etcd35(t, servers.Options{}), index(t), &network{}
	kv := instance(t, cluster, "quiet", nil, n.wrap)
	start := index(kv.Put("quiet/key", "value", 0))
	quiet := watch(t, kv, "quiet/", 0)
	noise := func() {
		for range 600 {
			index(kv.Put("noise", "value", 0))
		}
	}
	noise()
	awaitHeartbeats(t, n)
	noise()
	require.NoError(t, cluster.All()[0].Kill())
	require.NoError(t, cluster.All()[0].Start())
	var updated uint64
	eventually(t, "the server is not back", func() bool {
		pair, err := kv.Update("quiet/key", "value", 0)
		if err == nil {
			updated = pair.ModifiedIndex
		}
		return err == nil
	})
	require.Equal(t, event(kvdb.KVSet, "quiet/key", updated), receive(t, quiet))
	require.Equal(t, watchCall{err: kvdb.ErrWatchRevisionCompacted}, receive(t, watch(t, kv, "quiet/", start)))
}

// A watch that was disconnected during more events than the server remembers ends with an
// error, because events of its keys may have left no trace.
func TestCutOffWatch(t *testing.T) {
	t.Parallel()
	cluster, index, n := servers.Etcd35(t, servers.Options{}), index(t), &network{}
	kv := instance(t, cluster, "cut", nil, n.wrap)
	created := index(kv.Put("dir/key", "value", 0))
	short, long := watch(t, kv, "dir/", created), watch(t, kv, "dir/", created)
	eventually(t, "no watch", func() bool { return n.count(waits) == 2 })
	n.cut(waits)
	updated := index(kv.Put("dir/key", "value", 0))
	n.mend()
	for _, events := range []<-chan watchCall{short, long} {
		require.Equal(t, event(kvdb.KVSet, "dir/key", updated), receive(t, events))
	}
	n.cut(waits)
	index(kv.Put("dir/passing", "value", 0))
	index(kv.Delete("dir/passing"))
	for range 1100 {
		index(kv.Put("noise", "value", 0))
	}
	n.mend()
	for _, events := range []<-chan watchCall{short, long} {
		require.Equal(t, watchCall{err: kvdb.ErrWatchRevisionCompacted}, receive(t, events))
	}
}

// awaitHeartbeats waits for as many heartbeats as a watch needs to know that it has missed nothing.
func awaitHeartbeats(t *testing.T, n *network) {
	t.Helper()
	seen := n.count(isHeartbeat)
	eventuallyWithin(t, settleTime+await, "no heartbeat", func() bool { return n.count(isHeartbeat) >= seen+settleBeats+2 })
}

// loseEvents calls watch, which opens watches, and f, whose events are lost because the connections
// of the watches deliver nothing while the heartbeats succeed. Then it ends these connections,
// calls later, and lets the watches connect again.
func loseEvents(t *testing.T, n *network, watch, f, later func()) {
	t.Helper()
	gate := make(chan struct{})
	n.hold(streams, gate)
	watch()
	f()
	awaitHeartbeats(t, n)
	n.hold(nil, nil)
	n.cut(waits)
	close(gate)
	later()
	n.mend()
}

// A watch delivers events that were lost with a dead connection.
func TestDeadWatch(t *testing.T) {
	t.Parallel()
	cluster, index, n := servers.Etcd35(t, servers.Options{}), index(t), &network{}
	kv := instance(t, cluster, "dead", nil, n.wrap)
	put := func() uint64 { return index(kv.Put("dir/key", "value", 0)) }
	put()
	var events <-chan watchCall
	var updated, later uint64
	loseEvents(t, n, func() { events = watch(t, kv, "dir/", 0) }, func() { updated = put() }, func() { later = put() })
	require.Equal(t, event(kvdb.KVSet, "dir/key", updated), receive(t, events))
	require.Equal(t, event(kvdb.KVSet, "dir/key", later), receive(t, events))
}

// When the server does not remember the lost events, the watch ends with an error as soon as
// the state of the keys or the next event shows that events are missing. (If a heartbeat is
// late, on a slow machine, the watch reconnects in time and delivers the lost event.)
func TestDeadWatchWithoutHistory(t *testing.T) {
	t.Parallel()
	cluster, index, n := servers.Etcd35(t, servers.Options{}), index(t), &network{}
	kv := instance(t, cluster, "dead", nil, n.wrap)
	put := func(key string) uint64 { return index(kv.Put(key, "value", 0)) }
	remove := func(key string) uint64 { return index(kv.Delete(key)) }
	nothing := func(string) uint64 { return 0 }
	cases := []struct {
		lost   func(key string) uint64
		action kvdb.KVAction
		later  func(key string) uint64
		events <-chan watchCall
		at     uint64
	}{
		{lost: put, action: kvdb.KVSet, later: nothing},
		{lost: put, action: kvdb.KVSet, later: put},
		{lost: put, action: kvdb.KVSet, later: remove},
		{lost: remove, action: kvdb.KVDelete, later: nothing},
		{lost: remove, action: kvdb.KVDelete, later: put},
	}
	key := func(i int) string { return fmt.Sprint(i, "/key") }
	for i := range cases {
		put(key(i))
	}
	loseEvents(t, n, func() {
		for i := range cases {
			cases[i].events = watch(t, kv, fmt.Sprint(i, "/"), 0)
		}
	}, func() {
		for i, c := range cases {
			cases[i].at = c.lost(key(i))
		}
		for range 1100 {
			put("noise")
		}
	}, func() {
		for i, c := range cases {
			c.later(key(i))
		}
	})
	for i, c := range cases {
		require.Contains(t, []watchCall{{err: kvdb.ErrWatchRevisionCompacted}, event(c.action, key(i), c.at)}, receive(t, c.events))
	}
}

// The answer to a request for past events may come long after its header. A watch does not
// conclude from that that there were no events.
func TestLateHistory(t *testing.T) {
	t.Parallel()
	cluster, index, n := servers.Etcd35(t, servers.Options{}), index(t), &network{}
	kv := instance(t, cluster, "late", nil, n.wrap)
	created := index(kv.Put("dir/key", "value", 0))
	updated := index(kv.Put("dir/key", "value", 0))
	deleted := index(kv.Delete("dir/key"))
	gate := make(chan struct{})
	n.hold(asksHistory, gate)
	events := watch(t, kv, "dir/key", created)
	eventually(t, "no heartbeat", func() bool { return n.count(isHeartbeat) >= 4 })
	close(gate)
	again := index(kv.Put("dir/key", "value", 0))
	for _, want := range []watchCall{
		event(kvdb.KVSet, "dir/key", updated), event(kvdb.KVDelete, "dir/key", deleted), event(kvdb.KVCreate, "dir/key", again),
	} {
		require.Equal(t, want, receive(t, events))
	}
}

// A watch from the past catches up while others write more than the server
// remembers.
func TestCatchUp(t *testing.T) {
	cluster, index := servers.Etcd35(t, servers.Options{TLS: true}), index(t)
	kv := instance(t, cluster, "past", map[string]string{kvdb.TrustedCAFileKey: cluster.CA.File}, nil)
	start := index(kv.Put("dir/key", "value", 0))
	// Writers wait when they are ahead of the watch by as many events as the constant
	// ahead. So the watch is never further behind than the server remembers, however slow
	// the machine is.
	const writers, past, later, ahead = 6, 40, 500, 600
	behind := make(chan struct{}, ahead) // has an element for each event that was not received yet
	var mu sync.Mutex                    // protects written
	var written []uint64
	write := func(each int) {
		var writing sync.WaitGroup
		for range writers {
			writing.Go(func() {
				for range each {
					select {
					case behind <- struct{}{}:
					case <-t.Context().Done():
						return
					}
					pair, err := kv.Put("dir/key", "value", 0)
					if !assert.NoError(t, err) {
						return
					}
					mu.Lock()
					written = append(written, pair.ModifiedIndex)
					mu.Unlock()
				}
			})
		}
		writing.Wait()
	}
	write(past)
	events := watch(t, kv, "dir/", start)
	done := make(chan struct{})
	go func() {
		defer close(done)
		write(later)
	}()
	var seen []watchCall
	for range writers * (past + later) {
		e := receive(t, events)
		require.NoError(t, e.err)
		seen = append(seen, e)
		<-behind
	}
	receive(t, done)
	slices.Sort(written)
	for i, want := range written {
		require.Equal(t, event(kvdb.KVSet, "dir/key", want), seen[i])
	}
}

// When a hundred events wait to be read the server drops others. The watch asks for them.
func TestUnsentEvents(t *testing.T) {
	t.Parallel()
	cluster, index, n := servers.Etcd35(t, servers.Options{}), index(t), &network{}
	kv, slow := instance(t, cluster, "unsent", nil, nil), instance(t, cluster, "unsent", nil, n.wrap)
	gate := make(chan struct{})
	n.hold(waits, gate)
	events := watch(t, slow, "dir/", 0)
	eventually(t, "no watch", func() bool { return n.count(waits) > 0 })
	large, written := strings.Repeat("x", 64<<10), []uint64{}
	for range 250 { // more than the connection's buffers hold, too
		written = append(written, index(kv.Put("dir/key", large, 0)))
	}
	close(gate)
	for i, want := range written {
		action := kvdb.KVSet
		if i == 0 {
			action = kvdb.KVCreate
		}
		require.Equal(t, event(action, "dir/key", want), receive(t, events))
	}
}

// The event of a deleted directory does not name its keys. A watch from an earlier index
// reports the deletion of each key that existed then.
func TestPastDeleteTree(t *testing.T) {
	cluster, index := servers.Etcd35(t, servers.Options{}), index(t)
	kv := instance(t, cluster, "past", nil, nil)
	for _, key := range []string{"dir/old", "dir/gone", "dir/deep/older", "dir/went"} {
		index(kv.Put(key, "value", 0))
	}
	index(kv.Delete("dir/gone"))
	start := index(kv.Put("other", "value", 0))
	created := index(kv.Put("dir/new", "value", 0))
	went := index(kv.Delete("dir/went"))
	require.NoError(t, kv.DeleteTree("dir"))
	again := index(kv.Put("dir/old", "again", 0))
	past := watch(t, kv, "", start)
	end := went + 1
	for _, want := range []watchCall{
		event(kvdb.KVCreate, "dir/new", created),
		event(kvdb.KVDelete, "dir/went", went),
		event(kvdb.KVDelete, "dir/deep/older", end),
		event(kvdb.KVDelete, "dir/new", end),
		event(kvdb.KVDelete, "dir/old", end),
		event(kvdb.KVCreate, "dir/old", again),
	} {
		require.Equal(t, want, receive(t, past))
	}
}

// A watch whose callback does not return keeps only some of the events, and ends with an
// error after those.
func TestSlowCallback(t *testing.T) {
	t.Parallel()
	cluster, index := servers.Etcd35(t, servers.Options{}), index(t)
	kv := instance(t, cluster, "slow", nil, nil)
	returns, ended := make(chan struct{}), make(chan error, 1)
	size := 0
	require.NoError(t, kv.WatchTree("dir/", 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		<-returns
		if err != nil {
			ended <- err
			return err
		}
		size += len(pair.Value)
		return nil
	}))
	value := strings.Repeat("x", 512<<10)
	for range 2 * maxQueued / len(value) {
		index(kv.Put("dir/key", value, 0))
	}
	close(returns)
	require.Equal(t, kvdb.ErrWatchRevisionCompacted, receive(t, ended))
	require.Less(t, size, maxQueued*3/2)
}

// When a watch fails to skip a gap, later events from the gap do not contradict the store.
func TestGapNotSkipped(t *testing.T) {
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	s, err := open("gap", cluster.Endpoints(), nil, n.wrap)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &stream{store: s, ctx: ctx, request: driver.WatchRequest{Key: "dir/", Prefix: true}, path: "/dir",
		known: known{"dir/key": {}}, events: newQueue[*kvdb.KVPair](nil), after: 10, quietUpTo: 20}
	n.cut(everything)
	require.ErrorIs(t, w.skip(), kvdb.ErrNoConnection)
	n.mend()
	// Another member still remembers the events.
	node := func(index uint64) *client.Node {
		return &client.Node{Key: "/dir/key", Value: "v", CreatedIndex: 5, ModifiedIndex: index}
	}
	require.NoError(t, w.take(&client.Response{Action: "set", Node: node(15), PrevNode: node(5)}))
	require.NoError(t, w.take(&client.Response{Action: "set", Node: node(25), PrevNode: node(15)}))
}

// The number of events in memory is limited, however small they are.
func TestSmallEvents(t *testing.T) {
	w := &stream{store: newStore(&pool{}, false, lockTimes, nil), request: driver.WatchRequest{Key: "d/", Prefix: true}, known: known{}, events: newQueue[*kvdb.KVPair](nil)}
	for i := range uint64(1 << 20) { // the limit of mem and bolt
		err := w.take(&client.Response{Action: "set", Node: &client.Node{Key: "/d/key", ModifiedIndex: i + 1}})
		if err != nil {
			require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
			return
		}
	}
	require.Fail(t, "too many events wait")
}
