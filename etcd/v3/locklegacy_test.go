package etcdv3

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A lock of an earlier release is this key with this value, under a lease of its own.
const (
	legacyLockKey   = "some/domain/some/domain/dir/key"
	legacyLockValue = `{"LockerID":"same"}`
)

// legacyLock tries to lock as earlier releases do.
func legacyLock(t *testing.T, client *clientv3.Client) (lease clientv3.LeaseID, obtained bool) {
	t.Helper()
	grant, err := client.Grant(t.Context(), 16)
	require.NoError(t, err)
	reply, err := client.Txn(t.Context()).
		If(clientv3.Compare(clientv3.CreateRevision(legacyLockKey), "=", 0)).
		Then(clientv3.OpPut(legacyLockKey, legacyLockValue, clientv3.WithLease(grant.ID))).
		Commit()
	require.NoError(t, err)
	return grant.ID, reply.Succeeded
}

// legacyUnlock unlocks as earlier releases do, and reports whether that removed
// the key.
func legacyUnlock(t *testing.T, client *clientv3.Client) bool {
	t.Helper()
	reply, err := client.Txn(t.Context()).
		If(clientv3.Compare(clientv3.Value(legacyLockKey), "=", legacyLockValue)).
		Then(clientv3.OpDelete(legacyLockKey)).
		Commit()
	require.NoError(t, err)
	return reply.Succeeded
}

func TestLockExcludesEarlierReleases(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "some/domain", nil)

	pair, err := kv.LockWithID("dir/key", "same")
	require.NoError(t, err)
	_, obtained := legacyLock(t, client)
	require.False(t, obtained, "two holders")
	reply, err := client.Get(t.Context(), legacyLockKey)
	require.NoError(t, err)
	require.Len(t, reply.Kvs, 1)
	var info struct{ LockerID string } // what earlier releases read
	require.NoError(t, json.Unmarshal(reply.Kvs[0].Value, &info))
	require.Equal(t, "same", info.LockerID)
	require.Equal(t, pair.ModifiedIndex, uint64(reply.Kvs[0].CreateRevision))
	ttl, err := client.TimeToLive(t.Context(), clientv3.LeaseID(reply.Kvs[0].Lease))
	require.NoError(t, err)
	require.EqualValues(t, 16, ttl.GrantedTTL)
	require.NoError(t, kv.Unlock(pair))

	_, obtained = legacyLock(t, client)
	require.True(t, obtained, "the lock of this release was released")
	locked, owner, err := kv.IsKeyLocked("dir/key")
	require.NoError(t, err)
	require.True(t, locked)
	require.Equal(t, "same", owner)
	_, err = kv.LockWithTimeout("dir/key", "ours", 50*time.Millisecond, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorContains(t, err, "same")

	next := make(chan *kvdb.KVPair, 1)
	go func() {
		pair, _ := kv.LockWithTimeout("dir/key", "same", patience, 0)
		next <- pair
	}()
	require.True(t, legacyUnlock(t, client))
	pair = receive(t, next, "the lock")
	require.NotNil(t, pair)
	require.NoError(t, kv.Unlock(pair))
}

// A frozen holder of an earlier release unlocks late, by the value that it wrote. A
// later lock of the same owner stays.
func TestLateUnlockOfAnEarlierRelease(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "some/domain", nil)
	lease, obtained := legacyLock(t, client)
	require.True(t, obtained)
	_, err := client.Revoke(t.Context(), lease) // as if it had expired
	require.NoError(t, err)
	pair, err := kv.LockWithID("dir/key", "same")
	require.NoError(t, err)
	require.False(t, legacyUnlock(t, client))
	reply, err := client.Get(t.Context(), legacyLockKey)
	require.NoError(t, err)
	require.Len(t, reply.Kvs, 1)
	require.Equal(t, pair.ModifiedIndex, uint64(reply.Kvs[0].ModRevision))
	require.NoError(t, kv.Unlock(pair))

	// Two locks of this release for one owner have different values.
	pair, err = kv.LockWithID("dir/key", "same")
	require.NoError(t, err)
	again, err := client.Get(t.Context(), legacyLockKey)
	require.NoError(t, err)
	require.NotEqual(t, string(reply.Kvs[0].Value), string(again.Kvs[0].Value))
	require.NoError(t, kv.Unlock(pair))
}
