package consul

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Programs that lock with Consul's own client, as earlier releases do, and this release
// exclude each other.
func TestLocksOfOtherPrograms(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "locks", cluster.Endpoints(), nil)
	theirs, err := client.LockOpts(&api.LockOptions{
		Key: "locks/key", Value: []byte("them"), LockTryOnce: true, LockWaitTime: 100 * time.Millisecond,
		SessionOpts: &api.SessionEntry{TTL: "10s", LockDelay: time.Millisecond, Behavior: api.SessionBehaviorRelease},
	})
	require.NoError(t, err)

	pair, err := kv.LockWithID("key", "us")
	require.NoError(t, err)
	held, err := theirs.Lock(nil)
	require.NoError(t, err)
	require.Nil(t, held, "two holders")
	require.NoError(t, kv.Unlock(pair))
	there, _, err := client.KV().Get("locks/key", nil)
	require.NoError(t, err)
	require.Nil(t, there, "a lock leaves nothing behind")

	held, err = theirs.Lock(nil)
	require.NoError(t, err)
	require.NotNil(t, held)
	locked, owner, err := kv.IsKeyLocked("key")
	require.NoError(t, err)
	require.True(t, locked)
	require.Equal(t, "them", owner)
	_, err = kv.LockWithTimeout("key", "us", 100*time.Millisecond, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorContains(t, err, "them")
	obtained := make(chan error, 1)
	go func() {
		var err error
		pair, err = kv.LockWithTimeout("key", "us", await, 0)
		obtained <- err
	}()
	require.NoError(t, theirs.Unlock())
	require.NoError(t, receive(t, obtained, "the lock that was released"))
	require.NoError(t, kv.Unlock(pair))

	// The key that their lock leaves behind is a free lock, not a value.
	leave := func(value string) {
		t.Helper()
		left := &api.KVPair{Key: "locks/left", Value: []byte(value), Flags: api.LockFlagValue, Session: newSession(t, client, api.SessionBehaviorRelease)}
		for _, f := range []func(*api.KVPair, *api.WriteOptions) (bool, *api.WriteMeta, error){client.KV().Acquire, client.KV().Release} {
			done, _, err := f(left, nil)
			require.NoError(t, err)
			require.True(t, done)
		}
	}
	leave("them")
	locked, _, err = kv.IsKeyLocked("left")
	require.NoError(t, err)
	require.False(t, locked)
	_, err = kv.Get("left")
	require.Equal(t, kvdb.ErrNotFound, err)
	pair, err = kv.Lock("left")
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(pair))
	leave("")
	value, err := kv.Create("left", "value", 0)
	require.NoError(t, err)
	require.Equal(t, value.ModifiedIndex, value.CreatedIndex)
}

// A key that a session holds is a lock even without a lock's flags, and cannot be written.
func TestHeldWithoutFlags(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "locks", cluster.Endpoints(), nil)
	session := newSession(t, client, api.SessionBehaviorRelease)
	taken, _, err := client.KV().Acquire(&api.KVPair{Key: "locks/key", Value: []byte("them"), Session: session}, nil)
	require.NoError(t, err)
	require.True(t, taken)
	_, err = kv.LockWithTimeout("key", "us", 0, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	locked, owner, err := kv.IsKeyLocked("key")
	require.NoError(t, err)
	require.True(t, locked)
	require.Equal(t, "them", owner)
	for call, write := range map[string]func() error{
		"Put":          func() error { _, err := kv.Put("key", "us", 0); return err },
		"Put with TTL": func() error { _, err := kv.Put("key", "us", 60); return err },
		"Update":       func() error { _, err := kv.Update("key", "us", 0); return err },
		"Delete":       func() error { _, err := kv.Delete("key"); return err },
		"Tx": func() error {
			tx, err := kv.TxNew()
			require.NoError(t, err)
			_, err = tx.Put("key", "us", 0)
			require.NoError(t, err)
			return tx.Commit()
		},
	} {
		require.Equal(t, kvdb.ErrInvalidLock, write(), call)
	}
	now, _, err := client.KV().Get("locks/key", nil)
	require.NoError(t, err)
	require.Equal(t, session, now.Session)
}

// The error names the session of a holder without an ID.
func TestOwnerWithoutName(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "locks", cluster.Endpoints(), nil)
	session := newSession(t, client, api.SessionBehaviorRelease)
	taken, _, err := client.KV().Acquire(&api.KVPair{Key: "locks/key", Flags: api.LockFlagValue, Session: session}, nil)
	require.NoError(t, err)
	require.True(t, taken)
	_, err = kv.LockWithTimeout("key", "us", 0, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorContains(t, err, session)
}

// After the session of another program has ended, Lock obtains its lock when Consul's lock
// delay is over.
func TestLockDelayOfOthers(t *testing.T) {
	t.Parallel()
	const delay = 2 * time.Second
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	kv := open(t, "locks", cluster.Endpoints(), nil)
	for _, behavior := range []string{api.SessionBehaviorDelete, api.SessionBehaviorRelease} {
		key := "key-" + behavior
		id, _, err := client.Session().CreateNoChecks(&api.SessionEntry{TTL: "60s", Behavior: behavior, LockDelay: delay}, nil)
		require.NoError(t, err)
		taken, _, err := client.KV().Acquire(&api.KVPair{Key: "locks/" + key, Value: []byte("them"), Flags: api.LockFlagValue, Session: id}, nil)
		require.NoError(t, err)
		require.True(t, taken)
		_, err = client.Session().Destroy(id, nil)
		require.NoError(t, err)
		began := time.Now()
		_, err = kv.LockWithTimeout(key, "us", 0, 0)
		require.ErrorIs(t, err, kvdb.ErrExist)
		require.ErrorContains(t, err, "lock delay")
		pair, err := kv.LockWithTimeout(key, "us", await, 0)
		require.NoError(t, err)
		require.Greater(t, time.Since(began), delay/2)
		require.Less(t, time.Since(began), 2*delay+time.Second)
		require.NoError(t, kv.Unlock(pair))
	}
}
