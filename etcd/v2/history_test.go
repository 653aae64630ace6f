package etcdv2

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// The suite covers a store whose index is smaller than before, and one whose keys were
// written again. These tests cover other cases.

// A watch ends when the store was wiped, even if writes of other keys have raised the
// index above the old one.
func TestHistoryPassedByOthers(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{})
	kv := instance(t, cluster, "passed", nil, nil)
	pair, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	idle := watch(t, kv, "idle/", 0)
	require.NoError(t, cluster.Wipe(func(endpoints []string) error {
		other, err := New("other", endpoints, nil, nil)
		if err != nil {
			return err
		}
		defer func() { require.NoError(t, kvdb.Close(other)) }()
		for index := uint64(0); index <= pair.ModifiedIndex+10; {
			written, err := other.Put("key", "value", 0)
			if err != nil {
				return err
			}
			index = written.ModifiedIndex
		}
		return nil
	}))
	require.Equal(t, watchCall{err: kvdb.ErrWatchRevisionCompacted}, receive(t, idle))
}

// Watches end and locks are lost when the endpoints change to those of another cluster.
func TestAnotherCluster(t *testing.T) {
	t.Parallel()
	first, second := servers.Etcd35(t, servers.Options{}), servers.Etcd35(t, servers.Options{})
	kv, other := instance(t, first, "d", nil, nil), instance(t, second, "d", nil, nil)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	events := watch(t, kv, "", 0)
	for i := range 50 {
		_, err := other.Put("key", fmt.Sprint(i), 0)
		require.NoError(t, err)
	}
	require.NoError(t, kv.SetEndpoints(second.Endpoints()))
	pair, err := kv.Get("key")
	require.NoError(t, err)
	require.Equal(t, "49", string(pair.Value))
	require.Equal(t, watchCall{err: kvdb.ErrWatchRevisionCompacted}, receive(t, events))
	receive(t, lostOf(t, lock))
	require.True(t, kv.Unlock(lock) == kvdb.ErrInvalidLock)
}

// Watches and locks survive a restart of the server.
func TestSameHistory(t *testing.T) {
	t.Parallel()
	cluster, index := servers.Etcd35(t, servers.Options{}), index(t)
	kv, other := instance(t, cluster, "same", nil, nil), instance(t, cluster, "same", nil, nil)
	for name, last := range map[string]func(){
		"a write":  func() { index(kv.Put("other", "value", 0)) },
		"a delete": func() { index(kv.Delete("other")) },
		"a TTL":    func() { index(kv.Put("expiring", "value", 1000)) },
		"more writes than are remembered": func() {
			index(kv.Put("other", "value", 0))
			for range 1100 {
				index(other.Put("noise", "value", 0))
			}
		},
	} {
		index(kv.Put("dir/key", "value", 0))
		index(kv.Put("other", "value", 0))
		lock, err := kv.Lock("lock")
		require.NoError(t, err)
		events := watch(t, kv, "dir/", 0)
		last()
		require.NoError(t, cluster.All()[0].Kill())
		require.NoError(t, cluster.All()[0].Start())
		var updated uint64
		eventually(t, "the server is not back", func() bool {
			pair, err := other.Update("dir/key", "value", 0)
			if err == nil {
				updated = pair.ModifiedIndex
			}
			return err == nil
		})
		got := receive(t, events)
		if name != "more writes than are remembered" || got.err == nil { // the watch may be too new to know that it has missed nothing
			require.Equal(t, event(kvdb.KVSet, "dir/key", updated), got, name)
		}
		require.NoError(t, kv.Unlock(lock), name)
	}
}
