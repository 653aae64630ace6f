package zookeeper

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// When the caller's deadline ends a call, the error wraps the deadline's, and not
// kvdb.ErrNoConnection, whatever the call was waiting for.
func TestCallersDeadline(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	reason := errors.New("the caller's reason")
	for name, begin := range map[string]func(o *observer){
		"silent":       func(o *observer) { o.intercept(func(traffic) <-chan struct{} { return make(chan struct{}) }, nil) },
		"disconnected": func(o *observer) { o.cut(true) },
	} {
		o := observe(t, member)
		kv := instance(t, "d", []string{o.Addr().String()}, nil)
		_, err := kv.Put("dir/key", "value", 0)
		require.NoError(t, err)
		lock, err := kv.LockWithTimeout("other", "me", 0, 0)
		require.NoError(t, err)
		begin(o)
		// A write that is under way when the connection breaks returns another error.
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err = kvdb.WithContext(ctx, kv).Get("dir/key")
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for what, call := range map[string]func(kv kvdb.Kvdb) error{
			"Get":         func(kv kvdb.Kvdb) error { _, err := kv.Get("dir/key"); return err },
			"Put":         func(kv kvdb.Kvdb) error { _, err := kv.Put("dir/key", "value", 0); return err },
			"Create":      func(kv kvdb.Kvdb) error { _, err := kv.Create("dir/new", "value", 0); return err },
			"Update":      func(kv kvdb.Kvdb) error { _, err := kv.Update("dir/key", "value", 0); return err },
			"Delete":      func(kv kvdb.Kvdb) error { _, err := kv.Delete("dir/key"); return err },
			"DeleteTree":  func(kv kvdb.Kvdb) error { return kv.DeleteTree("dir") },
			"Enumerate":   func(kv kvdb.Kvdb) error { _, err := kv.Enumerate("dir"); return err },
			"Keys":        func(kv kvdb.Kvdb) error { _, err := kv.Keys("dir", ""); return err },
			"Snapshot":    func(kv kvdb.Kvdb) error { _, _, err := kv.Snapshot(nil, true); return err },
			"IsKeyLocked": func(kv kvdb.Kvdb) error { _, _, err := kv.IsKeyLocked("lock"); return err },
			"Lock":        func(kv kvdb.Kvdb) error { _, err := kv.LockWithTimeout("lock", "me", time.Minute, 0); return err },
			"one Lock":    func(kv kvdb.Kvdb) error { _, err := kv.LockWithTimeout("lock", "me", 0, 0); return err },
			"held Lock":   func(kv kvdb.Kvdb) error { _, err := kv.LockWithTimeout("other", "me", time.Minute, 0); return err },
			"Unlock":      func(kv kvdb.Kvdb) error { return kv.Unlock(lock) },
			"WatchTree": func(kv kvdb.Kvdb) error {
				return kv.WatchTree("dir", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error { return nil })
			},
		} {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, reason)
			err := call(kvdb.WithContext(ctx, kv))
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded, "%s, %s", name, what)
			require.ErrorIs(t, err, reason, "%s, %s", name, what)
			require.NotErrorIs(t, err, kvdb.ErrNoConnection, "%s, %s", name, what)
		}
		o.intercept(nil, nil)
		o.cut(false)
		require.Eventually(t, func() bool { _, err := kv.Get("dir/key"); return err == nil || err == kvdb.ErrNotFound }, patience, time.Millisecond)
	}
}
