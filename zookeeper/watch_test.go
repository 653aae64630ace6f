package zookeeper

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// Keys are deleted. They are created again when a watch has read, once or twice, that they are
// gone, and before it reads the other keys. The watch reports the new keys and their later
// changes.
func TestWatchOfRecreatedKeys(t *testing.T) {
	for reads := 1; reads <= 2; reads++ {
		t.Run(strconv.Itoa(reads), func(t *testing.T) { watchRecreated(t, reads) })
	}
}

func watchRecreated(t *testing.T, reads int) {
	const n = 16
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv, other := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	key := func(i int) string { return fmt.Sprintf("dir/key-%02d", i) }
	put := func(key, value string) {
		_, err := other.Put(key, value, 0)
		require.NoError(t, err)
	}
	put("dir/other", "first")
	pendingEvents, pendingReads := map[string]bool{"/d/dir": true}, map[string]int{} // by path
	for i := range n {
		put(key(i), "first")
		pendingEvents["/d/"+key(i)], pendingReads["/d/"+key(i)] = true, reads
	}
	seen := events(t, kv, "dir/", 0)

	// The read because of the other key waits until the watch has received all events of the
	// deletions.
	reading, allSent, recreated := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once sync.Once
	o.intercept(func(q traffic) <-chan struct{} {
		switch q {
		case traffic{q.conn, "getData", "/d/dir/other"}:
			once.Do(func() { close(reading) })
			return allSent
		case traffic{q.conn, "getChildren", "/d/dir"}:
			return recreated
		}
		return nil
	}, func(q traffic) { // there is one connection with watches
		switch {
		case q.operation == event && pendingEvents[q.path]:
			if delete(pendingEvents, q.path); len(pendingEvents) == 0 {
				close(allSent)
			}
		case q.operation == "getData" && pendingReads[q.path] > 0:
			if pendingReads[q.path]--; pendingReads[q.path] > 0 {
				return
			}
			if delete(pendingReads, q.path); len(pendingReads) == 0 {
				for i := range n {
					put(key(i), "again")
				}
				close(recreated)
			}
		}
	})
	put("dir/other", "second")
	receive(t, reading, "the watch to read")
	for i := range n {
		_, err := other.Delete(key(i))
		require.NoError(t, err)
	}

	last := uint64(0)
	actions := map[string][]kvdb.KVAction{} // by key
	for again := 0; again < n; {
		pair := receive(t, seen, "the keys")
		require.NotNil(t, pair)
		require.GreaterOrEqual(t, pair.ModifiedIndex, last, "the order of events")
		last = pair.ModifiedIndex
		actions[pair.Key] = append(actions[pair.Key], pair.Action)
		if string(pair.Value) == "again" {
			again++
			require.Equal(t, []kvdb.KVAction{kvdb.KVDelete, kvdb.KVCreate}, actions[pair.Key], pair.Key)
		}
	}
	for i := range n {
		put(key(i), "last")
		pair := receive(t, seen, "the last write")
		require.Equal(t, "last", string(pair.Value))
		require.Equal(t, kvdb.KVSet, pair.Action)
		require.Equal(t, key(i), pair.Key)
	}
}

// Keys are below the prefix of one watch, and each key has another watch. The keys are deleted, and
// created again when the watch of the prefix has read that they are gone and the others wait for
// their creation. All watches receive the later events of the keys.
func TestWatchOfKeysInTwoWatches(t *testing.T) {
	const n = 32
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv, other := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	put := func(key, value string) {
		_, err := other.Put(key, value, 0)
		require.NoError(t, err)
	}
	for _, key := range []string{"dir/one", "dir/two"} {
		put(key, "first")
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("dir/key-%02d", i)
		put(keys[i], "first")
	}
	seen := events(t, kv, "dir/", 0)
	for _, key := range keys {
		require.NoError(t, kv.WatchKey(key, 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error { return err }))
	}

	var mu sync.Mutex
	counts := map[traffic]int{}
	note := func(q traffic) {
		mu.Lock()
		defer mu.Unlock()
		q.conn = 0
		counts[q]++
	}
	// await waits until there were n operations, reads or events, of each of those keys.
	await := func(times int, operation string, keys ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, key := range keys {
				if counts[traffic{0, operation, "/d/" + key}] < times {
					return false
				}
			}
			return true
		}, patience, time.Millisecond, "%s of %s", operation, keys)
	}
	held := map[string]chan struct{}{"/d/dir/one": make(chan struct{}), "/d/dir/two": make(chan struct{})}
	o.intercept(func(q traffic) <-chan struct{} {
		if q.operation != "getData" || held[q.path] == nil {
			return nil
		}
		note(traffic{0, "held", q.path})
		return held[q.path]
	}, note)
	put("dir/one", "second")
	await(1, "held", "dir/one")
	put("dir/two", "second")
	for _, key := range keys {
		_, err := other.Delete(key)
		require.NoError(t, err)
	}
	await(1, event, "dir", "dir/two")
	await(1, "exists", keys...) // the watches of the keys wait for their creation
	close(held["/d/dir/one"])   // the watch of the prefix has received all events before its next round
	await(1, "held", "dir/two")
	await(1, "getChildren", "dir")
	await(3, "getData", keys...) // two of them by the watch of the prefix
	for _, key := range keys {
		put(key, "again")
	}
	await(2, event, append([]string{"dir"}, keys...)...)
	close(held["/d/dir/two"])
	for _, value := range []string{"again", "last"} {
		missing := map[string]bool{}
		for _, key := range keys {
			missing[key] = true
			if value == "last" {
				put(key, value)
			}
		}
		for len(missing) > 0 {
			pair := receive(t, seen, fmt.Sprintf("%q of %d keys", value, len(missing)))
			require.NotNil(t, pair)
			if string(pair.Value) == value {
				delete(missing, pair.Key)
			}
		}
	}
}

// WatchKey obeys its context while the server does not answer.
func TestWatchCanceled(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv := instance(t, "d", []string{o.Addr().String()}, nil)
	ignore := func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error { return err }
	require.NoError(t, kv.WatchKey("another", 0, nil, ignore)) // makes the session
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answer := make(chan struct{})
	o.intercept(func(q traffic) <-chan struct{} {
		if q != (traffic{q.conn, "getData", "/d/key"}) {
			return nil
		}
		cancel()
		return answer
	}, nil)
	done := make(chan error, 1)
	go func() { done <- kvdb.WithContext(ctx, kv).WatchKey("key", 0, nil, ignore) }()
	defer close(answer)
	require.ErrorIs(t, receive(t, done, "the end of the call"), context.Canceled)
}

// An idle session of watches stays alive at a server with short sessions.
func TestIdleWatch(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"minSessionTimeout=18000", "maxSessionTimeout=18000"}}).All()[0]
	o := observe(t, member)
	kv := instance(t, "d", []string{o.Addr().String()}, nil)
	events(t, kv, "", 0)
	require.Never(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.accepted != 2 // one for calls, one for watches
	}, 7500*time.Millisecond, 50*time.Millisecond) // the first ping is due after 6 s
}

// When many watches have ended, a new session takes the place of the one that has them at the server.
func TestEndedWatchesAreReleased(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	s, err := open([]string{member.Endpoint()}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	s.hub.maxIdle = 50
	stream, err := s.Watch(t.Context(), driver.WatchRequest{Key: "d/key"})
	require.NoError(t, err)
	defer stream.Close()
	before, err := s.hub.awaitSession(t.Context())
	require.NoError(t, err)
	for i := range 100 {
		w, err := s.Watch(t.Context(), driver.WatchRequest{Key: fmt.Sprintf("d/key-%d", i)})
		require.NoError(t, err)
		w.Close()
	}
	receive(t, before.ctx.Done(), "the end of the session")
	s.hub.mu.Lock()
	require.LessOrEqual(t, len(s.hub.serverWatches), 4+s.hub.maxIdle+1)
	s.hub.mu.Unlock()
	written, err := s.Put(t.Context(), driver.Write{Key: "d/key", Value: []byte("value")})
	require.NoError(t, err)
	reported, err := stream.Next()
	require.NoError(t, err)
	require.Len(t, reported, 1)
	require.Equal(t, written.Modified, reported[0].ModifiedIndex)
}
