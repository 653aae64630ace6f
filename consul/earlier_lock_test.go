package consul

import (
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Locks of earlier releases exclude ours, whatever the behavior of their session. A lock
// whose holder has died is free.
func TestLocksOfEarlierReleases(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	old := earlier{t, raw(t, cluster.All()[0]), "old"}
	kv := open(t, "old", cluster.Endpoints(), nil)
	for _, behavior := range []string{api.SessionBehaviorRelease, api.SessionBehaviorDelete} {
		theirs := old.pair("key", "them", api.LockFlagValue, 0)
		theirs.Session = newSession(t, old.client, behavior)
		taken, _, err := old.client.KV().Acquire(theirs, nil)
		require.NoError(t, err)
		require.True(t, taken)
		locked, owner, err := kv.IsKeyLocked("key")
		require.NoError(t, err)
		require.True(t, locked)
		require.Equal(t, "them", owner)
		_, err = kv.LockWithTimeout("key", "us", 0, 0)
		require.ErrorIs(t, err, kvdb.ErrExist)
		require.ErrorContains(t, err, "them")
		_, err = kv.Put("key", "value", 0)
		require.Equal(t, kvdb.ErrInvalidLock, err)
		_, err = kv.Get("key")
		require.Equal(t, kvdb.ErrNotFound, err)
		// The holder dies.
		_, err = old.client.Session().Destroy(theirs.Session, nil)
		require.NoError(t, err)
		require.Equal(t, behavior == api.SessionBehaviorRelease, old.get("key") != nil)
		_, err = kv.Get("key")
		require.Equal(t, kvdb.ErrNotFound, err)
		ours, err := kv.LockWithTimeout("key", "us", await, 0)
		require.NoError(t, err)
		held, err := old.lock("key", "them", behavior).Lock(nil)
		require.NoError(t, err)
		require.Nil(t, held, "two holders")
		require.False(t, old.compareAndSet("key", "value", 0), "Create on a lock")
		require.NoError(t, kv.Unlock(ours))
	}
}

// The key that a released lock leaves behind is not a value that can be changed or deleted.
func TestNoValueInFreeLock(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	old := earlier{t, raw(t, cluster.All()[0]), "old"}
	kv := open(t, "old", cluster.Endpoints(), nil)
	theirs := old.pair("key", "them", api.LockFlagValue, 0)
	theirs.Session = newSession(t, old.client, api.SessionBehaviorRelease)
	pair := &kvdb.KVPair{Key: "key", Value: []byte("them")}
	for call, f := range map[string]func() error{
		"Update":                  func() error { _, err := kv.Update("key", "x", 0); return err },
		"Update with TTL":         func() error { _, err := kv.Update("key", "x", 60); return err },
		"Update, large":           func() error { _, err := kv.Update("key", large("x"), 0); return err },
		"CompareAndSet, exists":   func() error { _, err := kv.CompareAndSet(pair, kvdb.KVPrevExists, nil); return err },
		"CompareAndSet, value":    func() error { _, err := kv.CompareAndSet(pair, 0, []byte("them")); return err },
		"Delete":                  func() error { _, err := kv.Delete("key"); return err },
		"CompareAndDelete, value": func() error { _, err := kv.CompareAndDelete(pair, 0); return err },
	} {
		_, _, err := old.client.KV().Acquire(theirs, nil)
		require.NoError(t, err)
		_, _, err = old.client.KV().Release(theirs, nil)
		require.NoError(t, err)
		require.Equal(t, kvdb.ErrNotFound, f(), call)
		_, err = kv.Get("key")
		require.Equal(t, kvdb.ErrNotFound, err, call)
	}
	lock, err := kv.LockWithTimeout("key", "us", 0, 0)
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))
}

// A lock of ours remains a lock when a daemon of an earlier release has written to its key.
func TestLockWrittenByEarlierRelease(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	old := earlier{t, raw(t, cluster.All()[0]), "old"}
	kv := open(t, "old", cluster.Endpoints(), nil)
	other := open(t, "old", cluster.Endpoints(), nil)
	for _, write := range []func(){
		func() { old.put("key", "scribble") },
		func() { require.True(t, old.compareAndSet("key", "scribble", old.get("key").ModifyIndex)) },
	} {
		pair, err := kv.Lock("key")
		require.NoError(t, err)
		write()
		_, err = other.LockWithTimeout("key", "other", 0, 0)
		require.ErrorIs(t, err, kvdb.ErrExist)
		_, err = other.Put("key", "x", 0)
		require.Equal(t, kvdb.ErrInvalidLock, err)
		_, err = other.Delete("key")
		require.Equal(t, kvdb.ErrInvalidLock, err)
		notLost(t, pair)
		require.NoError(t, kv.Unlock(pair))
	}
}
