package zookeeper

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// An earlier release holds a lock as an ephemeral znode at the key. Its locks and those
// of this release exclude each other.
func TestLockOfAnEarlierRelease(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv, conn := instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
	_, err := kv.Put("dir/beside", "value", 0)
	require.NoError(t, err)
	foreign := func() error {
		_, err := conn.Create("/d/dir/lock", []byte(`{"LockerID":"theirs"}`), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		return err
	}
	require.NoError(t, foreign())
	locked, owner, err := kv.IsKeyLocked("dir/lock")
	require.NoError(t, err)
	require.True(t, locked)
	require.Equal(t, "theirs", owner)
	for _, wait := range []time.Duration{0, 100 * time.Millisecond} {
		_, err = kv.LockWithTimeout("dir/lock", "ours", wait, 0)
		require.ErrorIs(t, err, kvdb.ErrExist)
		require.ErrorContains(t, err, "theirs")
	}
	_, err = kv.Get("dir/lock")
	require.Equal(t, kvdb.ErrNotFound, err, "a lock is not a value")
	pairs, err := kv.Enumerate("dir/")
	require.NoError(t, err)
	require.Len(t, pairs, 1)

	_, err = kv.Put("dir/lock/below", "value", 0)
	require.ErrorIs(t, err, kvdb.ErrInvalidLock)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	_, err = tx.Put("dir/lock/below", "value", 0)
	require.NoError(t, err)
	require.ErrorIs(t, tx.Commit(), kvdb.ErrInvalidLock)

	obtained := make(chan *kvdb.KVPair, 1)
	go func() {
		pair, _ := kv.LockWithTimeout("dir/lock", "ours", patience, 0)
		obtained <- pair
	}()
	_, err = kv.LockWithTimeout("dir/lock", "in vain", 50*time.Millisecond, 0) // by then the other one waits
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.NoError(t, conn.Delete("/d/dir/lock", -1))
	pair := receive(t, obtained, "the lock")
	require.NotNil(t, pair)
	require.ErrorIs(t, foreign(), zk.ErrNodeExists, "this release holds the lock")
	_, err = kv.Put("dir/lock", "value", 0)
	require.NoError(t, err)
	_, err = kv.Delete("dir/lock")
	require.NoError(t, err)
	require.ErrorIs(t, foreign(), zk.ErrNodeExists, "writing and deleting a value has freed the lock")
	require.NoError(t, kv.Unlock(pair))
}

// lockZnode returns the path of the znode that is the lock of a key.
func lockZnode(t *testing.T, conn *zk.Conn, key string) string {
	t.Helper()
	_, stat, err := conn.Get("/d/" + key)
	require.NoError(t, err)
	if isEphemeral(stat) {
		return "/d/" + key
	}
	queue, _, err := conn.Children("/d/" + key + "/%kvdb")
	require.NoError(t, err)
	require.Len(t, sortedEntries(queue), 1)
	return "/d/" + key + "/%kvdb/" + sortedEntries(queue)[0]
}

// bothWays runs a test twice: for a lock that is a znode at the key, and for one in a
// queue below a key with a value.
func bothWays(t *testing.T, f func(t *testing.T, member *servers.Member)) {
	for name, value := range map[string]string{"at the key": "", "in the queue": "value"} {
		t.Run(name, func(t *testing.T) {
			member := servers.ZooKeeper(t, servers.Options{}).All()[0]
			if value != "" {
				_, err := instance(t, "d", []string{member.Endpoint()}, nil).Put("lock", value, 0)
				require.NoError(t, err)
			}
			f(t, member)
		})
	}
}

// The reply to the creation of a lock's znode is lost with the connection. Lock finds
// the znode and does not create another one.
func TestLostReplyOfALock(t *testing.T) {
	bothWays(t, func(t *testing.T, member *servers.Member) {
		o := observe(t, member)
		kv, conn := instance(t, "d", []string{o.Addr().String()}, nil), raw(t, member)
		token := func() uint64 {
			_, stat, err := conn.Get(lockZnode(t, conn, "lock"))
			require.NoError(t, err)
			return uint64(stat.Czxid)
		}
		pair, err := kv.LockWithTimeout("lock", "me", 0, 0)
		require.NoError(t, err)
		require.Equal(t, token(), pair.ModifiedIndex)
		require.NoError(t, kv.Unlock(pair))
		creation := "multi"
		if locked, _, err := conn.Exists("/d/lock"); err == nil && locked {
			creation = "create"
		}
		var once sync.Once
		o.intercept(nil, func(q traffic) {
			if q.operation == creation {
				once.Do(o.sever)
			}
		})
		pair, err = kv.LockWithTimeout("lock", "me", patience, 0)
		require.NoError(t, err)
		require.Equal(t, token(), pair.ModifiedIndex)
		require.NoError(t, kv.Unlock(pair))
		next, err := kv.LockWithTimeout("lock", "next", 0, 0)
		require.NoError(t, err, "the lock was not released")
		require.NoError(t, kv.Unlock(next))
	})
}

// The reply to the creation of a lock's znode is lost, and a writer that asks for a move
// of the lock writes to the znode before Lock looks for it.
func TestLostReplyOfAWrittenLock(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv, other, conn := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
	_, err := kv.Put("dir/x", "v", 0)
	require.NoError(t, err)
	lock, err := kv.LockWithTimeout("lock", "warm up", 0, 0)
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))
	var once sync.Once
	o.intercept(nil, func(q traffic) {
		if q.operation == "multi" {
			once.Do(func() {
				o.cut(true)
				defer o.cut(false)
				if _, err := conn.Set("/d/lock", []byte("value"), -1); err != nil {
					t.Error(err)
				}
				o.sever()
			})
		}
	})
	lock, err = kv.LockWithTimeout("lock", "me", 5*time.Second, 0)
	require.NoError(t, err)
	_, err = other.Put("lock/key", "value", 0)
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))
}

// The caller gives up before the reply to the creation of the lock's znode. The znode is
// removed.
func TestLockCanceled(t *testing.T) {
	bothWays(t, func(t *testing.T, member *servers.Member) {
		o := observe(t, member)
		kv, other := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
		pair, err := kv.LockWithTimeout("lock", "warm up", 0, 0)
		require.NoError(t, err)
		require.NoError(t, kv.Unlock(pair))
		ctx, cancel := context.WithCancel(t.Context())
		o.intercept(nil, func(q traffic) {
			if q.operation == "create" || q.operation == "multi" {
				cancel()
				o.sever()
			}
		})
		_, err = kvdb.WithContext(ctx, kv).LockWithTimeout("lock", "me", patience, 0)
		require.ErrorIs(t, err, context.Canceled)
		o.intercept(nil, nil)
		pair, err = other.LockWithTimeout("lock", "next", patience, 0)
		require.NoError(t, err)
		require.NoError(t, other.Unlock(pair))
	})
}

// A key below a lock of an earlier release cannot be locked. Lock returns the holder in
// time, and it waits for an event instead of polling.
func TestLockBelowALockOfAnEarlierRelease(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv, conn := instance(t, "d", []string{o.Addr().String()}, nil), raw(t, member)
	_, err := kv.Put("beside", "value", 0)
	require.NoError(t, err)
	_, err = conn.Create("/d/lock", []byte(`{"LockerID":"theirs"}`), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, wait := range []time.Duration{0, 100 * time.Millisecond} {
		_, err := kvdb.WithContext(ctx, kv).LockWithTimeout("lock/a/b", "ours", wait, 0)
		require.ErrorIs(t, err, kvdb.ErrExist)
		require.ErrorContains(t, err, "theirs")
	}
	watched := make(chan struct{}, 100)
	o.intercept(nil, func(q traffic) {
		if q == (traffic{q.conn, "getData", "/d/lock"}) {
			watched <- struct{}{}
		}
	})
	o.take()
	done := make(chan error, 1)
	go func() {
		pair, err := kv.LockWithTimeout("lock/a/b", "ours", patience, 0)
		if err == nil {
			err = kv.Unlock(pair)
		}
		done <- err
	}()
	receive(t, watched, "the watch")
	require.NoError(t, conn.Delete("/d/lock", -1))
	require.NoError(t, receive(t, done, "the lock"))
	require.Less(t, len(o.take()), 50, "requests")
}

// Lock below a lock whose holder does not answer waits as long as for a lock that is held.
func TestLockBelowALockOfASilentHolder(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, lazy).All()[0]
	o := observe(t, member)
	holder, other := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	lock, err := holder.LockWithTimeout("lock", "me", 0, 0)
	require.NoError(t, err)
	o.cut(true)
	_, err = other.LockWithTimeout("lock/below", "other", 0, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorContains(t, err, `"me"`)
	done := make(chan error, 1)
	go func() {
		below, err := other.LockWithTimeout("lock/below", "other", patience, 0)
		if err == nil {
			err = other.Unlock(below)
		}
		done <- err
	}()
	select {
	case err := <-done:
		require.Fail(t, "Lock has given up", "%v", err)
	case <-time.After(roomTimeout + time.Second): // an outage
	}
	o.cut(false)
	require.NoError(t, receive(t, done, "the lock below"))
	require.NoError(t, holder.Unlock(lock))
}
