package etcdv3

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

func lostOf(t *testing.T, pair *kvdb.KVPair) <-chan struct{} {
	t.Helper()
	held, ok := pair.Lock.(kvdb.HeldLock)
	require.True(t, ok)
	return held.Lost()
}

// A holder is notified when another client removes or overwrites its lock, and does
// not change the key afterwards.
func TestLockRemovedByForce(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "d", nil)
	removed, err := kv.Lock("removed")
	require.NoError(t, err)
	overwritten, err := kv.Lock("overwritten")
	require.NoError(t, err)
	kept, err := kv.Lock("kept")
	require.NoError(t, err)
	_, err = client.Delete(t.Context(), "d/d/removed")
	require.NoError(t, err)
	_, err = client.Put(t.Context(), "d/d/overwritten", `{"LockerID":"thief"}`)
	require.NoError(t, err)
	receive(t, lostOf(t, removed), "the loss of the removed lock")
	receive(t, lostOf(t, overwritten), "the loss of the overwritten lock")
	require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(removed))
	require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(overwritten))
	_, owner, err := kv.IsKeyLocked("overwritten")
	require.NoError(t, err)
	require.Equal(t, "thief", owner)

	// The same holds before the holder is notified.
	young, err := kv.Lock("young")
	require.NoError(t, err)
	_, err = client.Delete(t.Context(), "d/d/young")
	require.NoError(t, err)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	_, err = tx.Put("key", "value", 0)
	require.NoError(t, err)
	require.NoError(t, kvdb.TxGuard(tx, young))
	require.Equal(t, kvdb.ErrInvalidLock, tx.Commit())
	require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(young))

	select {
	case <-lostOf(t, kept):
		require.Fail(t, "another lock of the instance is lost")
	default:
	}
	require.NoError(t, kv.Unlock(kept))
}

// The holder is also notified when the history is compacted before its watch begins.
func TestLockRemovedByForceAfterCompaction(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "d", nil)
	first, err := kv.Lock("first")
	require.NoError(t, err)
	second, err := kv.Lock("second")
	require.NoError(t, err)
	_, err = client.Put(t.Context(), "other", "v")
	require.NoError(t, err)
	reply, err := client.Put(t.Context(), "other", "v")
	require.NoError(t, err)
	_, err = client.Compact(t.Context(), reply.Header.Revision)
	require.NoError(t, err)
	for key, lock := range map[string]*kvdb.KVPair{"first": first, "second": second} {
		_, err = client.Delete(t.Context(), "d/d/"+key)
		require.NoError(t, err)
		receive(t, lostOf(t, lock), "the loss of the removed lock")
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(lock))
	}
}

// When the lease ends, its locks are lost, but new locks can be obtained.
func TestLeaseLost(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "d", nil)
	var pairs []*kvdb.KVPair
	for _, key := range []string{"a", "b", "c"} {
		pair, err := kv.Lock(key)
		require.NoError(t, err)
		pairs = append(pairs, pair)
	}
	reply, err := client.Leases(t.Context())
	require.NoError(t, err)
	require.Len(t, reply.Leases, 1)
	_, err = client.Revoke(t.Context(), reply.Leases[0].ID)
	require.NoError(t, err)
	again, err := kv.LockWithTimeout("a", "again", patience, 0)
	require.NoError(t, err)
	for _, pair := range pairs {
		receive(t, lostOf(t, pair), "the loss of the lock whose lease is gone")
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
	}
	require.NoError(t, kv.Unlock(again))
}
