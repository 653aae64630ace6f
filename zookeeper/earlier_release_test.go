package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// lazy is for a server that removes no empty container during a test. With the default
// configuration a server does not remove one for some seconds either.
var lazy = servers.Options{Args: []string{"-Dznode.container.checkIntervalMs=3600000"}}

// earlier is a program with an earlier release, in the domain d.
type earlier struct {
	t    *testing.T
	conn *zk.Conn
}

func earlierRelease(t *testing.T, m *servers.Member) earlier { return earlier{t, raw(t, m)} }

// try makes one attempt to obtain a lock. The parents are persistent znodes without data.
func (e earlier) try(key string) error {
	_, err := e.conn.Create("/d/"+key, []byte(`{"LockerID":"theirs"}`), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	return err
}

// lock tries once a second.
func (e earlier) lock(key string, within time.Duration) {
	e.t.Helper()
	deadline := time.Now().Add(within)
	for err := e.try(key); err != nil; err = e.try(key) {
		require.True(e.t, time.Now().Add(time.Second).Before(deadline), "no lock within %v: %v", within, err)
		time.Sleep(time.Second)
	}
}

func (e earlier) unlock(key string) {
	e.t.Helper()
	require.NoError(e.t, e.conn.Delete("/d/"+key, -1))
}

// enumerate fails when a child has no data.
func (e earlier) enumerate(dir string) ([]string, error) {
	names, _, err := e.conn.Children(dir)
	for _, name := range names {
		data, _, err := e.conn.Get(child(dir, name))
		if err != nil || len(data) == 0 {
			return nil, fmt.Errorf("%s: %w", name, errors.Join(err, kvdb.ErrNotFound))
		}
	}
	return names, err
}

// paths returns the paths of all znodes at and below path.
func (e earlier) paths(path string) []string {
	e.t.Helper()
	names, _, err := e.conn.Children(path)
	require.NoError(e.t, err)
	all := []string{path}
	for _, name := range names {
		all = append(all, e.paths(child(path, name))...)
	}
	return all
}

// A released lock leaves nothing behind, and a lock that is held looks like that of an
// earlier release.
func TestReleasedLockLeavesNothing(t *testing.T) {
	member := servers.ZooKeeper(t, lazy).All()[0]
	one, two := instance(t, "d", []string{member.Endpoint()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	old := earlierRelease(t, member)
	_, err := one.Put("dir/beside", "value", 0)
	require.NoError(t, err)
	before := old.paths("/d")
	for _, key := range []string{"dir/lock", "lock", "other/a/b/lock", "dir/beside", "dir"} {
		pair, err := one.LockWithTimeout(key, "me", 0, 0)
		require.NoError(t, err)
		require.ErrorIs(t, old.try(key), zk.ErrNodeExists)
		obtained := make(chan *kvdb.KVPair, 1)
		go func() {
			pair, err := two.LockWithTimeout(key, "next", patience, 0)
			require.NoError(t, err)
			obtained <- pair
		}()
		_, err = two.LockWithTimeout(key, "in vain", 50*time.Millisecond, 0) // by then the other one waits
		require.ErrorIs(t, err, kvdb.ErrExist)
		if key == "dir/lock" {
			names, err := old.enumerate("/d/dir")
			require.NoError(t, err)
			require.ElementsMatch(t, []string{"beside", "lock"}, names)
		}
		require.NoError(t, one.Unlock(pair))
		next := receive(t, obtained, "the lock")
		require.ErrorIs(t, old.try(key), zk.ErrNodeExists, "the waiter has it")
		require.NoError(t, two.Unlock(next))
		require.ElementsMatch(t, before, old.paths("/d"), "after a lock of %q", key)
	}
	names, err := old.enumerate("/d/dir")
	require.NoError(t, err)
	require.Equal(t, []string{"beside"}, names)

	for range 3 {
		pair, err := one.LockWithTimeout("dir/lock", "me", patience, 0)
		require.NoError(t, err)
		require.NoError(t, one.Unlock(pair))
		old.lock("dir/lock", 2*time.Second)
		obtained := make(chan error, 1)
		go func() {
			pair, err := one.LockWithTimeout("dir/lock", "me", patience, 0)
			if err == nil {
				err = one.Unlock(pair)
			}
			obtained <- err
		}()
		old.unlock("dir/lock")
		require.NoError(t, receive(t, obtained, "the lock"))
	}
}

// A key that is deleted while its lock is held, and one that is written and deleted below
// a lock, leave nothing behind when the lock is released.
func TestReleasedLockOfADeletedKey(t *testing.T) {
	member := servers.ZooKeeper(t, lazy).All()[0]
	kv, old := instance(t, "d", []string{member.Endpoint()}, nil), earlierRelease(t, member)
	_, err := kv.Put("other", "value", 0)
	require.NoError(t, err)
	before := old.paths("/d")
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	pair, err := kv.LockWithTimeout("key", "me", 0, 0)
	require.NoError(t, err)
	_, err = kv.Delete("key")
	require.NoError(t, err)
	require.ErrorIs(t, old.try("key"), zk.ErrNodeExists)
	require.NoError(t, kv.Unlock(pair))
	require.ElementsMatch(t, before, old.paths("/d"))
	old.lock("key", 2*time.Second)
	old.unlock("key")

	pair, err = kv.LockWithTimeout("dir", "me", 0, 0)
	require.NoError(t, err)
	_, err = kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	_, err = kv.Delete("dir/key")
	require.NoError(t, err)
	require.ErrorIs(t, old.try("dir"), zk.ErrNodeExists)
	require.NoError(t, kv.Unlock(pair))
	require.ElementsMatch(t, before, old.paths("/d"))
}

// With the servers' default configuration, an earlier release gets the lock of a dead
// holder within 30 s.
func TestEarlierReleaseAfterADeadHolder(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, lazy).All()[0]
	old := earlierRelease(t, member)
	o := observe(t, member)
	holder, err := New("d", []string{o.Addr().String()}, nil, func(error, string, ...interface{}) {})
	require.NoError(t, err)
	_, err = holder.LockWithTimeout("dir/lock", "me", 0, 0)
	require.NoError(t, err)
	o.kill()
	began := time.Now()
	old.lock("dir/lock", 30*time.Second)
	t.Logf("after %v", time.Since(began))
	names, err := old.enumerate("/d/dir")
	require.NoError(t, err)
	require.Equal(t, []string{"lock"}, names)
	_ = kvdb.Close(holder) // it cannot release its locks
}

// Every call can write keys at a lock and below it, and locks can be below locks. The
// holder keeps the lock.
func TestKeysAtALock(t *testing.T) {
	member := servers.ZooKeeper(t, lazy).All()[0]
	holder, other := instance(t, "d", []string{member.Endpoint()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	old := earlierRelease(t, member)
	_, err := holder.Put("beside", "value", 0)
	require.NoError(t, err)
	before := old.paths("/d")
	commit := func(kv kvdb.Kvdb, key string, locks ...*kvdb.KVPair) error {
		return guarded(t, kv, key, locks...).Commit()
	}
	for what, write := range map[string]func(lock *kvdb.KVPair) (key string, err error){
		"Put": func(*kvdb.KVPair) (string, error) {
			pair, err := other.Put("lock", "value", 0)
			if err == nil {
				require.Equal(t, pair.CreatedIndex < pair.ModifiedIndex, true)
			}
			return "lock", err
		},
		"Create": func(*kvdb.KVPair) (string, error) {
			_, err := other.Create("lock", "value", 0)
			return "lock", err
		},
		"Put below": func(*kvdb.KVPair) (string, error) { _, err := other.Put("lock/a", "value", 0); return "lock/a", err },
		"Put far below": func(*kvdb.KVPair) (string, error) {
			_, err := other.Put("lock/a/b", "value", 0)
			return "lock/a/b", err
		},
		"Create below":       func(*kvdb.KVPair) (string, error) { _, err := other.Create("lock/a", "value", 0); return "lock/a", err },
		"Put of a holder":    func(*kvdb.KVPair) (string, error) { _, err := holder.Put("lock", "value", 0); return "lock", err },
		"Commit":             func(*kvdb.KVPair) (string, error) { return "lock", commit(other, "lock") },
		"Commit below":       func(*kvdb.KVPair) (string, error) { return "lock/a/b", commit(other, "lock/a/b") },
		"Commit of a holder": func(lock *kvdb.KVPair) (string, error) { return "lock", commit(holder, "lock", lock) },
		"Commit of a holder below": func(lock *kvdb.KVPair) (string, error) {
			return "lock/a", commit(holder, "lock/a", lock)
		},
		"Lock below": func(*kvdb.KVPair) (string, error) {
			pair, err := other.LockWithTimeout("lock/a/b", "below", patience, 0)
			if err == nil {
				err = other.Unlock(pair)
			}
			return "", err
		},
	} {
		lock, err := holder.LockWithTimeout("lock", "me", 0, 0)
		require.NoError(t, err, what)
		key, err := write(lock)
		require.NoError(t, err, what)
		if key != "" {
			pair, err := other.Get(key)
			require.NoError(t, err, what)
			require.Equal(t, "value", string(pair.Value), what)
		}
		locked, owner, err := other.IsKeyLocked("lock")
		require.NoError(t, err, what)
		require.True(t, locked, what)
		require.Equal(t, "me", owner, what)
		_, err = other.LockWithTimeout("lock", "other", 0, 0)
		require.ErrorIs(t, err, kvdb.ErrExist, what)
		require.ErrorIs(t, old.try("lock"), zk.ErrNodeExists, what)
		require.NoError(t, commit(holder, "guarded", lock), what)
		_, err = holder.Delete("guarded")
		require.NoError(t, err, what)
		select {
		case <-lock.Lock.(kvdb.HeldLock).Lost():
			require.Fail(t, "the lock is lost", what)
		default:
		}
		require.NoError(t, holder.DeleteTree("lock"), what)
		if key != "" {
			_, err = holder.Delete(key)
			require.True(t, err == nil || err == kvdb.ErrNotFound, what)
		}
		require.NoError(t, holder.Unlock(lock), what)
		require.Equal(t, kvdb.ErrInvalidLock, commit(holder, "guarded", lock), what)
		next, err := other.LockWithTimeout("lock", "next", 0, 0)
		require.NoError(t, err, what)
		require.Greater(t, next.ModifiedIndex, lock.ModifiedIndex, what)
		require.NoError(t, other.Unlock(next), what)
		require.ElementsMatch(t, before, old.paths("/d"), what)
	}
}

// The reply to the request that moves a lock from the key to a queue is lost.
func TestMoveWhoseReplyIsLost(t *testing.T) {
	member := servers.ZooKeeper(t, lazy).All()[0]
	o := observe(t, member)
	holder, other := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	lock, err := holder.LockWithTimeout("lock", "me", 0, 0)
	require.NoError(t, err)
	var once sync.Once
	o.intercept(nil, func(q traffic) {
		if q.operation == "multi" {
			once.Do(o.sever)
		}
	})
	_, err = other.Put("lock/key", "value", 0)
	require.NoError(t, err)
	o.intercept(nil, nil)
	_, err = other.LockWithTimeout("lock", "other", 0, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorContains(t, err, `"me"`)
	require.NoError(t, holder.Unlock(lock))
	next, err := other.LockWithTimeout("lock", "other", 0, 0)
	require.NoError(t, err)
	require.NoError(t, other.Unlock(next))
}

// The reply to the release of a lock is lost, and somebody else has the lock when the
// release is sent again.
func TestReleaseWhoseReplyIsLost(t *testing.T) {
	member := servers.ZooKeeper(t, lazy).All()[0]
	o := observe(t, member)
	holder, other := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	for range 20 {
		lock, err := holder.LockWithTimeout("lock", "me", patience, 0)
		require.NoError(t, err)
		obtained := make(chan *kvdb.KVPair, 1)
		go func() {
			pair, _ := other.LockWithTimeout("lock", "other", patience, 0)
			obtained <- pair
		}()
		var once sync.Once
		o.intercept(nil, func(q traffic) {
			if q.operation == "multi" {
				once.Do(o.sever)
			}
		})
		require.NoError(t, holder.Unlock(lock))
		o.intercept(nil, nil)
		next := receive(t, obtained, "the lock")
		require.NotNil(t, next)
		locked, owner, err := holder.IsKeyLocked("lock")
		require.NoError(t, err)
		require.True(t, locked)
		require.Equal(t, "other", owner)
		require.NoError(t, other.Unlock(next))
	}
}

// A holder writes keys below its own lock without a delay.
func TestHolderWritesBelowItsLock(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv := instance(t, "d", []string{member.Endpoint()}, nil)
	for range 10 {
		lock, err := kv.LockWithTimeout("dir", "me", 0, 0)
		require.NoError(t, err)
		began := time.Now()
		_, err = kv.Put("dir/x", "value", 0)
		require.NoError(t, err)
		require.Less(t, time.Since(began), 2*time.Second)
		require.NoError(t, guarded(t, kv, "dir/y", lock).Commit())
		require.NoError(t, kv.DeleteTree("dir"))
		require.NoError(t, kv.Unlock(lock))
	}
}

// A write of a key at a lock whose holder does not answer returns an error in time.
func TestKeyAtALockOfASilentHolder(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, lazy).All()[0]
	o := observe(t, member)
	holder, other := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	lock, err := holder.LockWithTimeout("lock", "me", 0, 0)
	require.NoError(t, err)
	o.cut(true)
	_, err = other.Put("lock/key", "value", 0)
	require.ErrorIs(t, err, kvdb.ErrInvalidLock)
	require.ErrorContains(t, err, "/d/lock")
	o.cut(false)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for err != nil && ctx.Err() == nil {
		_, err = other.Put("lock/key", "value", 0)
	}
	require.NoError(t, err, "when it is back")
	require.NoError(t, holder.Unlock(lock))
}
