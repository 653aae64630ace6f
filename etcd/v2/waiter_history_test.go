package etcdv2

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// These tests restore a store between a look at it and the wait for what changes after that
// look. The restored store has passed the index of the look, so its answers alone do not show
// that it was restored. The instances have written nothing: they know only what they have read.

// between is a transport that calls do before it sends the first request of a kind.
type between struct {
	base http.RoundTripper
	kind func(*http.Request) bool
	do   func()
	once sync.Once
}

func (b *between) wrap(base http.RoundTripper) http.RoundTripper {
	b.base = base
	return b
}

func (b *between) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.kind(r) {
		b.once.Do(b.do)
	}
	return b.base.RoundTrip(r)
}

// restorePast restores the last backup of a cluster, and writes another key until the index
// is larger than index, before instances can reach the cluster.
func restorePast(t *testing.T, cluster *servers.Cluster, index uint64) {
	t.Helper()
	require.NoError(t, cluster.Restore(func(endpoints []string) error {
		other, err := New("other", endpoints, nil, nil)
		if err != nil {
			return err
		}
		defer func() { require.NoError(t, kvdb.Close(other)) }()
		for now := uint64(0); now <= index+10; {
			written, err := other.Put("key", "value", 0)
			if err != nil {
				return err
			}
			now = written.ModifiedIndex
		}
		return nil
	}))
}

// lockLater obtains and releases a lock, and returns the error.
func lockLater(kv kvdb.Kvdb, key string) <-chan error {
	done := make(chan error, 1)
	go func() {
		lock, err := kv.LockWithTimeout(key, "waiter", 2*await, 0)
		if err == nil {
			err = kv.Unlock(lock)
		}
		done <- err
	}()
	return done
}

// endOfWatch returns how a watch that begins on another goroutine ends.
func endOfWatch(kv kvdb.Kvdb, prefix string, after uint64) <-chan error {
	ended := make(chan error, 2)
	go func() {
		err := kv.WatchTree(prefix, after, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
			if err != nil {
				ended <- err
			}
			return err
		})
		if err != nil {
			ended <- err
		}
	}()
	return ended
}

// A client that waits for a lock obtains it when the restored store does not have the lock,
// whether it has begun to wait before or after.
func TestLockIsGoneAfterRestore(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	require.NoError(t, cluster.Backup(false))
	lock, err := instance(t, cluster, "d", nil, nil).Lock("lock")
	require.NoError(t, err)
	waiting := lockLater(instance(t, cluster, "d", nil, n.wrap), "lock")
	eventually(t, "no wait", func() bool { return n.count(waits) == 1 })
	restore := &between{kind: waits, do: func() { restorePast(t, cluster, lock.ModifiedIndex) }}
	about := lockLater(instance(t, cluster, "d", nil, restore.wrap), "lock")
	require.NoError(t, receive(t, about))
	require.NoError(t, receive(t, waiting))
}

// A client goes on to wait for a lock when the server was only restarted.
func TestLockIsHeldAfterRestart(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{})
	holder := instance(t, cluster, "d", nil, nil)
	lock, err := holder.Lock("lock")
	require.NoError(t, err)
	restarted := make(chan struct{})
	restart := &between{kind: waits, do: func() {
		member := cluster.All()[0]
		require.NoError(t, member.Kill())
		require.NoError(t, member.Start())
		close(restarted)
	}}
	obtained := lockLater(instance(t, cluster, "d", nil, restart.wrap), "lock")
	receive(t, restarted)
	require.Empty(t, obtained)
	require.NoError(t, holder.Unlock(lock))
	released := time.Now()
	require.NoError(t, receive(t, obtained))
	require.Less(t, time.Since(released), prompt)
}

// A watch ends if the store was restored to a time before the latest change that the instance
// has read. A new watch begins.
func TestWatchOfRestoredStore(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{})
	writer := instance(t, cluster, "d", nil, nil)
	_, err := writer.Put("dir/key", "old", 0)
	require.NoError(t, err)
	require.NoError(t, cluster.Backup(false))
	eventually(t, "the server is not back", func() bool {
		_, err = writer.Put("dir/key", "new", 0)
		return err == nil
	})
	compacted := watchCall{err: kvdb.ErrWatchRevisionCompacted}

	n := &network{}
	waiting := watch(t, instance(t, cluster, "d", nil, n.wrap), "dir/", 0)
	eventually(t, "no wait", func() bool { return n.count(waits) == 1 })

	snapshots := instance(t, cluster, "d", nil, nil)
	_, index, err := snapshots.Snapshot([]string{"dir/"}, true)
	require.NoError(t, err)
	reader := instance(t, cluster, "d", nil, nil)
	pairs, err := reader.Enumerate("dir/")
	require.NoError(t, err)

	// A proxy keeps its client's connections when the server behind it ends.
	moving := instanceAt(t, newProxy(t, cluster, true), nil)
	_, err = moving.Enumerate("dir/")
	require.NoError(t, err)

	// This one has no connection when the store is restored.
	idle, err := open("d", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, idle.Close(t.Context())) }()
	_, err = idle.List(t.Context(), "d/dir/", driver.ListOptions{})
	require.NoError(t, err)
	idle.pool.transport.CloseIdleConnections()

	restore := &between{kind: waits, do: func() { restorePast(t, cluster, index) }}
	kv := instance(t, cluster, "d", nil, restore.wrap)
	about := watch(t, kv, "dir/", 0)
	require.Equal(t, compacted, receive(t, about), "restored between look and wait")
	require.Equal(t, compacted, receive(t, waiting), "restored while it waits")
	require.NoError(t, moving.SetEndpoints(cluster.Endpoints()))
	ends := map[string]<-chan error{
		"from a snapshot":     endOfWatch(snapshots, "dir/", index),
		"from an enumeration": endOfWatch(reader, "dir/", pairs[0].KVDBIndex),
		"after SetEndpoints":  endOfWatch(moving, "dir/", index),
	}
	w, err := idle.watch(t.Context(), driver.WatchRequest{Key: "d/dir/", Prefix: true, After: index})
	require.NoError(t, err)
	defer w.Close()
	withoutConnection := make(chan error, 1)
	go func() {
		_, err := w.Next()
		withoutConnection <- err
	}()
	ends["without a connection"] = withoutConnection
	for name, end := range ends {
		require.ErrorIs(t, receive(t, end), kvdb.ErrWatchRevisionCompacted, name)
	}

	again := watch(t, kv, "dir/", 0)
	written, err := kv.Put("dir/key", "newer", 0)
	require.NoError(t, err)
	require.Equal(t, event(kvdb.KVSet, "dir/key", written.ModifiedIndex), receive(t, again))
}
