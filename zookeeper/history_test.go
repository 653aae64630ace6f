package zookeeper

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// ended watches a tree and sends every event, and the error with which the watch ends.
func ended(t *testing.T, kv kvdb.Kvdb, prefix string) (events <-chan string, end <-chan error) {
	t.Helper()
	keys, over := make(chan string, 1000), make(chan error, 1)
	require.NoError(t, kv.WatchTree(prefix, 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err != nil {
			over <- err
			return err
		}
		keys <- pair.Key
		return nil
	}))
	return keys, over
}

// A server that has not caught up with the others refuses an instance, as does a server
// whose history has gone back. The instance does not lose anything because of that.
func TestServerThatIsBehind(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3})
	leader, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	var behind *servers.Member
	for _, m := range cluster.All() {
		if m != leader {
			behind = m
		}
	}
	o := observeAt(t, leader.Endpoint())
	kv := instance(t, "d", []string{o.Addr().String()}, nil)
	controller := kv.(kvdb.Controller)
	_, err = kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	lock, err := kv.LockWithTimeout("lock", "me", 0, 0)
	require.NoError(t, err)
	keys, over := ended(t, kv, "dir/")
	require.NoError(t, behind.Peers().Blackhole())
	for i := range 10 {
		_, err := kv.Put(fmt.Sprintf("dir/%d", i), "value", 0)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("dir/%d", i), receive(t, keys, "an event"))
	}
	began := time.Now()
	require.NoError(t, controller.SetEndpoints([]string{behind.Endpoint()}))
	o.cut(true)
	_, err = kv.Put("dir/in vain", "value", 0)
	require.Error(t, err)
	require.NoError(t, behind.Peers().Heal())
	require.Eventually(t, func() bool { _, err = kv.Put("dir/last", "value", 0); return err == nil }, patience, 1)
	for key := receive(t, keys, "an event"); key != "dir/last"; key = receive(t, keys, "an event") {
		require.Equal(t, "dir/in vain", key)
	}
	require.Empty(t, over)
	select {
	case <-lock.Lock.(kvdb.HeldLock).Lost():
		require.Greater(t, time.Since(began), sessionTimeout/2, "the lock is lost")
	default:
		require.NoError(t, kv.Unlock(lock))
	}
}

// Another store is behind the endpoints, and its zxid is the larger one.
func TestAnotherStoreBehindTheEndpoints(t *testing.T) {
	one, two := servers.ZooKeeper(t, servers.Options{}).All()[0], servers.ZooKeeper(t, servers.Options{}).All()[0]
	other := instance(t, "d", []string{two.Endpoint()}, nil)
	for i := range 200 {
		_, err := other.Put(fmt.Sprintf("dir/%d", i), "other", 0)
		require.NoError(t, err)
	}
	way := observe(t, one)
	fatal := make(chan error, 10)
	kv, err := New("d", []string{way.Addr().String()}, nil, func(err error, _ string, _ ...interface{}) { fatal <- err })
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	_, err = kv.Put("dir/1", "value", 0)
	require.NoError(t, err)
	lock, err := kv.LockWithTimeout("lock", "me", 0, 0)
	require.NoError(t, err)
	keys, over := ended(t, kv, "dir/")
	_, err = kv.Put("dir/1", "again", 0)
	require.NoError(t, err)
	require.Equal(t, "dir/1", receive(t, keys, "an event"))
	way.lead(two.Direct())
	require.Equal(t, kvdb.ErrWatchRevisionCompacted, receive(t, over, "the end of the watch"))
	require.Empty(t, keys)
	receive(t, lock.Lock.(kvdb.HeldLock).Lost(), "the loss of the lock")
	require.Equal(t, kvdb.ErrLockRefreshFailed, receive(t, fatal, "the fatal callback"))
	require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(lock))
	require.Eventually(t, func() bool { _, err = kv.Put("dir/new", "value", 0); return err == nil }, patience, 1)
	pair, err := kv.Get("dir/1")
	require.NoError(t, err)
	require.Equal(t, "other", string(pair.Value))
	lock, err = kv.LockWithTimeout("lock", "me", 0, 0)
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))
}

// restorePast restores the last backup, and writes other keys until the index is larger than
// index, before instances can reach the store.
func restorePast(t *testing.T, cluster *servers.Cluster, index uint64) {
	t.Helper()
	require.NoError(t, cluster.Restore(func(endpoints []string) error {
		other, err := New("other", endpoints, nil, nil)
		if err != nil {
			return err
		}
		defer func() { require.NoError(t, kvdb.Close(other)) }()
		for now := uint64(0); now <= index+10; {
			pair, err := other.Put("key", "value", 0)
			if err != nil {
				return err
			}
			now = pair.ModifiedIndex
		}
		return nil
	}))
}

// A backup was made while a watch ran, so its mark is in the backup. The watch ends
// nevertheless when a key has an earlier state than the one that it has read, and locks from
// after the backup are lost.
func TestRestoredWithTheMark(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster := servers.ZooKeeper(t, servers.Options{})
	kv := instance(t, "d", cluster.Endpoints(), nil)
	_, err := kv.Put("dir/key", "old", 0)
	require.NoError(t, err)
	keys, over := ended(t, kv, "dir/")
	require.NoError(t, cluster.Backup(true))
	pair, err := kv.Put("dir/key", "new", 0)
	require.NoError(t, err)
	require.Equal(t, "dir/key", receive(t, keys, "an event"))
	lock, err := kv.LockWithTimeout("lock", "me", 0, 0)
	require.NoError(t, err)
	restorePast(t, cluster, lock.ModifiedIndex)
	require.Equal(t, kvdb.ErrWatchRevisionCompacted, receive(t, over, "the end of the watch"))
	require.Empty(t, keys)
	receive(t, lock.Lock.(kvdb.HeldLock).Lost(), "the loss of the lock")
	require.Greater(t, lock.ModifiedIndex, pair.ModifiedIndex)
}

// A client that has looked at a lock, and one that is in its queue, obtain it when the store
// is restored before they wait, because the restored store does not have the lock.
func TestRestoredBetweenLookAndWait(t *testing.T) {
	t.Parallel() // it mostly waits
	for name, isKey := range map[string]bool{"at the key": false, "in the queue": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := servers.ZooKeeper(t, servers.Options{})
			holder := instance(t, "d", cluster.Endpoints(), nil)
			waiter, err := open(cluster.Endpoints(), nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, waiter.Close(t.Context())) }()
			if isKey {
				_, err := holder.Put("lock", "value", 0)
				require.NoError(t, err)
			}
			require.NoError(t, cluster.Backup(true))
			lock, err := holder.LockWithTimeout("lock", "holder", 0, 0)
			require.NoError(t, err)
			deadline := time.Now().Add(2 * patience)
			h := hold{path: "/d/lock", mark: "waiter", value: []byte(`{"LockerID":"waiter","Mark":"waiter"}`)}
			if isKey {
				require.NoError(t, waiter.createQueueEntry(t.Context(), &h))
			} else {
				_, err := waiter.createAtKey(t.Context(), &h)
				require.ErrorIs(t, err, zk.ErrNodeExists)
			}
			restorePast(t, cluster, lock.ModifiedIndex)
			done := make(chan error, 1)
			go func() {
				if isKey {
					done <- waiter.awaitFirst(t.Context(), &h, deadline)
				} else {
					done <- waiter.awaitRelease(t.Context(), h.path, deadline)
				}
			}()
			err = receive(t, done, "the end of the wait")
			if isKey {
				require.ErrorIs(t, err, kvdb.ErrNoConnection) // Lock begins anew
			} else {
				require.NoError(t, err)
			}
			x, err := waiter.Lock(t.Context(), "d/lock", "waiter", patience)
			require.NoError(t, err)
			require.NoError(t, x.Release(t.Context()))
		})
	}
}
