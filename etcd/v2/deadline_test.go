package etcdv2

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// When the caller of a call gives up, the error wraps the caller's, and not
// kvdb.ErrNoConnection. The instance keeps using the endpoint.
func TestCallersDeadline(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{Members: 3}), &network{}
	kv := instance(t, cluster, "deadline", nil, n.wrap)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	for _, m := range cluster.All() {
		m.Clients().Delay(20 * time.Millisecond) // longer than any call may take
	}
	host := func() string {
		before := n.count(everything)
		_, err := kv.Get("key")
		require.NoError(t, err)
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.requests[before].URL.Host
	}
	first := host()
	nothing := func(string, interface{}, *kvdb.KVPair, error) error { return errors.New("over") }
	cause := errors.New("the caller's cause")
	fails := func(name string, limit int, call func(kvdb.Kvdb) error) {
		t.Helper()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Duration(limit)*time.Millisecond, cause)
		defer cancel()
		err := call(kvdb.WithContext(ctx, kv))
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
		require.ErrorIs(t, err, cause, name)
		require.NotErrorIs(t, err, kvdb.ErrNoConnection, name)
	}
	for name, call := range map[string]func(kvdb.Kvdb) error{
		"Get":         func(kv kvdb.Kvdb) error { _, err := kv.Get("key"); return err },
		"Enumerate":   func(kv kvdb.Kvdb) error { _, err := kv.Enumerate(""); return err },
		"Keys":        func(kv kvdb.Kvdb) error { _, err := kv.Keys("", ""); return err },
		"Put":         func(kv kvdb.Kvdb) error { _, err := kv.Put("key", "value", 0); return err },
		"Create":      func(kv kvdb.Kvdb) error { _, err := kv.Create("new", "value", 0); return err },
		"Delete":      func(kv kvdb.Kvdb) error { _, err := kv.Delete("other"); return err },
		"DeleteTree":  func(kv kvdb.Kvdb) error { return kv.DeleteTree("tree") },
		"WatchKey":    func(kv kvdb.Kvdb) error { return kv.WatchKey("key", 0, nil, nothing) },
		"WatchTree":   func(kv kvdb.Kvdb) error { return kv.WatchTree("", 1, nil, nothing) },
		"Snapshot":    func(kv kvdb.Kvdb) error { _, _, err := kv.Snapshot(nil, true); return err },
		"IsKeyLocked": func(kv kvdb.Kvdb) error { _, _, err := kv.IsKeyLocked("lock"); return err },
		"Lock":        func(kv kvdb.Kvdb) error { _, err := kv.LockWithTimeout("lock", "me", await, 0); return err },
		"one attempt": func(kv kvdb.Kvdb) error { _, err := kv.LockWithTimeout("lock", "me", 0, 0); return err },
		"AddUser":     func(kv kvdb.Kvdb) error { return kv.AddUser("user", "password") },
		"RemoveUser":  func(kv kvdb.Kvdb) error { return kv.RemoveUser("user") },
		"GrantUserAccess": func(kv kvdb.Kvdb) error {
			return kv.GrantUserAccess("user", kvdb.ReadPermission, "dir")
		},
	} {
		for limit := range 50 {
			fails(name, limit%5, call)
		}
		require.Equal(t, first, host(), name)
	}
	for limit := range 5 {
		lock, err := kv.Lock("unlock")
		require.NoError(t, err)
		fails("Unlock", limit, func(kv kvdb.Kvdb) error { return kv.Unlock(lock) })
		require.NoError(t, kv.Unlock(lock))
	}
	require.Zero(t, n.count(func(r *http.Request) bool { return r.URL.Host != first && !isHeartbeat(r) }))
}

// The same holds when the call waits for a lock that is held, or for the end of an outage.
func TestCallerGivesUpWaiting(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	kv := instance(t, cluster, "waiting", nil, n.wrap)
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	defer func() { require.NoError(t, kv.Unlock(lock)) }()
	wait := func() {
		t.Helper()
		for name, call := range map[string]func(kvdb.Kvdb) error{
			"Lock":     func(kv kvdb.Kvdb) error { _, err := kv.Lock("lock"); return err },
			"Get":      func(kv kvdb.Kvdb) error { _, err := kv.Get("key"); return err },
			"Snapshot": func(kv kvdb.Kvdb) error { _, _, err := kv.Snapshot(nil, true); return err },
		} {
			cause := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			timer := time.AfterFunc(time.Second, func() { cancel(cause) })
			err := call(kvdb.WithContext(ctx, kv))
			timer.Stop()
			if ctx.Err() == nil && err == nil {
				continue // it did not have to wait
			}
			require.ErrorIs(t, err, context.Canceled, name)
			require.ErrorIs(t, err, cause, name)
			require.NotErrorIs(t, err, kvdb.ErrNoConnection, name)
		}
	}
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	wait()
	n.cut(everything)
	wait()
	n.mend()
}
