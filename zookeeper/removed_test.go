package zookeeper

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// guarded returns a transaction that writes a key if locks are held.
func guarded(t *testing.T, kv kvdb.Kvdb, key string, locks ...*kvdb.KVPair) kvdb.Tx {
	t.Helper()
	tx, err := kv.TxNew()
	require.NoError(t, err)
	for _, lock := range locks {
		require.NoError(t, kvdb.TxGuard(tx, lock))
	}
	_, err = tx.Put(key, "value", 0)
	require.NoError(t, err)
	return tx
}

// A holder that does not know yet that its lock was removed by force neither releases the
// lock of the next holder nor commits under it.
func TestHolderUnawareOfTheRemoval(t *testing.T) {
	bothWays(t, func(t *testing.T, member *servers.Member) {
		o := observe(t, member)
		holder, err := New("d", []string{o.Addr().String()}, nil, func(error, string, ...interface{}) {})
		require.NoError(t, err)
		defer func() { require.NoError(t, kvdb.Close(holder)) }()
		other, conn := instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
		for range 3 {
			lock, err := holder.LockWithTimeout("lock", "me", patience, 0)
			require.NoError(t, err)
			heard := make(chan struct{})
			o.intercept(nil, func(q traffic) {
				if q.operation == event {
					<-heard
				}
			})
			require.NoError(t, conn.Delete(lockZnode(t, conn, "lock"), -1))
			next, err := other.LockWithTimeout("lock", "next", time.Second, 0)
			require.NoError(t, err)
			require.Equal(t, kvdb.ErrInvalidLock, guarded(t, holder, "guarded", lock).Commit())
			require.Equal(t, kvdb.ErrInvalidLock, holder.Unlock(lock))
			locked, owner, err := holder.IsKeyLocked("lock")
			require.NoError(t, err)
			require.True(t, locked)
			require.Equal(t, "next", owner)
			require.NoError(t, guarded(t, other, "guarded", next).Commit())
			o.intercept(nil, nil)
			close(heard)
			require.NoError(t, other.Unlock(next))
		}
	})
}

// A transaction whose guard cannot be checked is refused, and not retried for ever.
func TestGuardThatCannotBeChecked(t *testing.T) {
	bothWays(t, func(t *testing.T, member *servers.Member) {
		kv, conn := instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
		lock, err := kv.Lock("lock")
		require.NoError(t, err)
		tx := guarded(t, kv, "guarded", lock)
		_, err = conn.SetACL(lockZnode(t, conn, "lock"), zk.DigestACL(zk.PermAll, "somebody", "else"), -1)
		require.NoError(t, err)
		require.ErrorIs(t, tx.Commit(), kvdb.ErrPermission)
		_, err = kv.Get("guarded")
		require.Equal(t, kvdb.ErrNotFound, err)
		require.NoError(t, kv.Unlock(lock))
	})
}

// isLockOf asserts that a lock is held, by its owner.
func isLockOf(t *testing.T, kv kvdb.Kvdb, owner string, lock *kvdb.KVPair) {
	t.Helper()
	locked, found, err := kv.IsKeyLocked("lock")
	require.NoError(t, err)
	require.True(t, locked)
	require.Equal(t, owner, found)
	require.NoError(t, guarded(t, kv, "guarded", lock).Commit())
	_, err = kv.LockWithTimeout("lock", "another", 0, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
}

// slowTaker is an instance that calls Lock. After it has created the lock's znode, its
// requests for the proofs of others, and its writes after those, wait.
type slowTaker struct {
	t        *testing.T
	kv       kvdb.Kvdb
	o        *observer
	steps    chan chan struct{} // one element for each request that waits; closing the element lets the request go on
	obtained chan *kvdb.KVPair
}

func takesSlowly(t *testing.T, member *servers.Member, owner string) *slowTaker {
	t.Helper()
	o := observe(t, member)
	s := &slowTaker{
		t: t, kv: instance(t, "d", []string{o.Addr().String()}, nil), o: o,
		steps: make(chan chan struct{}, 100), obtained: make(chan *kvdb.KVPair, 1),
	}
	var created atomic.Bool
	o.intercept(func(q traffic) <-chan struct{} {
		look := q.operation == "getChildren" && strings.HasPrefix(q.path, proofs)
		if created.Store(created.Load() || look); !look && (q.operation != "multi" || !created.Load()) {
			return nil
		}
		step := make(chan struct{})
		s.steps <- step
		return step
	}, nil)
	go func() {
		lock, _ := s.kv.LockWithTimeout("lock", owner, patience, 0)
		s.obtained <- lock
	}()
	return s
}

// finish lets the request of step and all later ones go on.
func (s *slowTaker) finish(step chan struct{}) {
	s.o.intercept(nil, nil)
	close(step)
}

func (s *slowTaker) step() chan struct{} {
	s.t.Helper()
	return receive(s.t, s.steps, "a step")
}

// A former holder calls Unlock when the next one has only begun to obtain the lock. The next
// one gets the lock.
func TestUnlockWhileTheNextHolderLocks(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	holder, err := New("d", []string{o.Addr().String()}, nil, func(error, string, ...interface{}) {})
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(holder)) }()
	lock, err := holder.LockWithTimeout("lock", "me", patience, 0)
	require.NoError(t, err)
	heard := make(chan struct{})
	defer close(heard)
	o.intercept(nil, func(q traffic) {
		if q.operation == event {
			<-heard
		}
	})
	require.NoError(t, raw(t, member).Delete("/d/lock", -1))
	other := takesSlowly(t, member, "next")
	look := other.step()
	require.NoError(t, holder.Unlock(lock))
	other.finish(look)
	next := receive(t, other.obtained, "the lock")
	require.NotNil(t, next)
	isLockOf(t, other.kv, "next", next)
	require.NoError(t, other.kv.Unlock(next))
}

// Two instances create the lock's znode, one after the other, because that of the first is
// removed by force. The second one gets the lock, and the first one does not disturb it.
func TestTwoTakers(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	conn := raw(t, member)
	warm := instance(t, "d", []string{member.Endpoint()}, nil)
	lock, err := warm.LockWithTimeout("lock", "warm up", 0, 0)
	require.NoError(t, err)
	require.NoError(t, warm.Unlock(lock))
	dir, _ := proofsOf("/d/lock")
	_, err = conn.Create(dir+"/of another key", nil, 0, zk.WorldACL(zk.PermAll)) // so that the next holder of the key looks
	require.NoError(t, err)
	first := takesSlowly(t, member, "first")
	firstLook := first.step()
	require.NoError(t, conn.Delete("/d/lock", -1))
	second := takesSlowly(t, member, "second")
	secondLook := second.step()
	close(firstLook)
	firstDeletion := first.step()
	second.finish(secondLook)
	lock = receive(t, second.obtained, "the lock")
	require.NotNil(t, lock)
	first.finish(firstDeletion)
	_, err = first.kv.LockWithTimeout("lock", "in vain", 100*time.Millisecond, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorContains(t, err, "second")
	require.Empty(t, first.obtained)
	isLockOf(t, second.kv, "second", lock)
	require.NoError(t, second.kv.Unlock(lock))
	lock = receive(t, first.obtained, "the lock")
	require.NotNil(t, lock)
	isLockOf(t, first.kv, "first", lock)
	require.NoError(t, first.kv.Unlock(lock))
	names, _, err := conn.Children(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"of another key"}, names)
}

// Locks can be released although somebody has removed the library's own znodes.
func TestUnlockWithoutAProof(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv, conn := instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
	for range 2 {
		lock, err := kv.LockWithTimeout("lock", "me", 0, 0)
		require.NoError(t, err)
		dir, _ := proofsOf("/d/lock")
		names, _, err := conn.Children(dir)
		require.NoError(t, err)
		require.Len(t, names, 1)
		require.NoError(t, conn.Delete(child(dir, names[0]), -1))
		require.NoError(t, conn.Delete(dir, -1))
		require.Equal(t, kvdb.ErrInvalidLock, guarded(t, kv, "guarded", lock).Commit())
		require.NoError(t, kv.Unlock(lock))
	}
}
