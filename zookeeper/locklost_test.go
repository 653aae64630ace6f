package zookeeper

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// lossHook records why locks are lost.
type lossHook struct {
	kvdb.HookLock
	reasons chan string
}

func (h *lossHook) OnLockWaiting(kvdb.LockInfo)                        {}
func (h *lossHook) OnLockObtained(kvdb.LockInfo, time.Duration)        {}
func (h *lossHook) OnLockReleased(kvdb.LockInfo, time.Duration, error) {}

func (h *lossHook) OnLockLost(_ kvdb.LockInfo, _ time.Duration, reason string) { h.reasons <- reason }

// A lock is lost at once when somebody deletes its znode.
func TestLockRemovedByForce(t *testing.T) {
	bothWays(t, func(t *testing.T, member *servers.Member) {
		fatal := make(chan error, 1)
		kv, err := New("d", []string{member.Endpoint()}, nil, func(err error, _ string, _ ...interface{}) { fatal <- err })
		require.NoError(t, err)
		defer func() { require.NoError(t, kvdb.Close(kv)) }()
		h := &lossHook{reasons: make(chan string, 1)}
		require.NoError(t, kvdb.AddHooks(kv, h))
		pair, err := kv.LockWithTimeout("lock", "me", 0, 0)
		require.NoError(t, err)
		conn := raw(t, member)
		require.NoError(t, conn.Delete(lockZnode(t, conn, "lock"), -1))
		receive(t, pair.Lock.(kvdb.HeldLock).Lost(), "the loss")
		require.Equal(t, kvdb.ErrLockRefreshFailed, receive(t, fatal, "the fatal callback"))
		require.Equal(t, kvdb.LockRemoved, receive(t, h.reasons, "the reason"))
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
		next, err := kv.LockWithTimeout("lock", "next", 0, 0)
		require.NoError(t, err)
		require.NoError(t, kv.Unlock(next))
	})
}

// A lock is removed by force, and somebody else obtains it. The former holder does not
// release the new lock, and its transactions that the old lock guards fail.
func TestLockTakenByForce(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	holder, err := New("d", []string{member.Endpoint()}, nil, func(error, string, ...interface{}) {})
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(holder)) }()
	other, conn := instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
	for range 20 {
		held, err := holder.LockWithTimeout("lock", "me", patience, 0)
		require.NoError(t, err)
		tx := guarded(t, holder, "key", held)
		obtained := make(chan *kvdb.KVPair, 1)
		go func() {
			pair, _ := other.LockWithTimeout("lock", "next", patience, 0)
			obtained <- pair
		}()
		require.NoError(t, conn.Delete("/d/lock", -1))
		next := receive(t, obtained, "the lock")
		require.NotNil(t, next)
		receive(t, held.Lock.(kvdb.HeldLock).Lost(), "the loss")
		require.Equal(t, kvdb.ErrInvalidLock, tx.Commit())
		require.Equal(t, kvdb.ErrInvalidLock, holder.Unlock(held))
		// The proof of the former holder is gone.
		require.Eventually(t, func() bool {
			dir, _ := proofsOf("/d/lock")
			proofs, _, err := conn.Children(dir)
			return err == nil && len(proofs) == 1
		}, patience, time.Millisecond)
		locked, owner, err := holder.IsKeyLocked("lock")
		require.NoError(t, err)
		require.True(t, locked)
		require.Equal(t, "next", owner)
		require.NoError(t, other.Unlock(next))
	}
}

// The fatal callback is called once for each lost lock, even if the holder calls Unlock
// at once.
func TestUnlockOfALostLock(t *testing.T) {
	bothWays(t, func(t *testing.T, member *servers.Member) {
		fatal := make(chan error, 100)
		kv, err := New("d", []string{member.Endpoint()}, nil, func(err error, _ string, _ ...interface{}) { fatal <- err })
		require.NoError(t, err)
		defer func() { require.NoError(t, kvdb.Close(kv)) }()
		conn := raw(t, member)
		for range 50 {
			pair, err := kv.LockWithTimeout("lock", "me", patience, 0)
			require.NoError(t, err)
			unlocked := make(chan error, 1)
			go func() {
				<-pair.Lock.(kvdb.HeldLock).Lost()
				unlocked <- kv.Unlock(pair)
			}()
			require.NoError(t, conn.Delete(lockZnode(t, conn, "lock"), -1))
			require.Equal(t, kvdb.ErrInvalidLock, receive(t, unlocked, "Unlock"))
			require.Equal(t, kvdb.ErrLockRefreshFailed, receive(t, fatal, "the fatal callback"))
		}
		require.Empty(t, fatal)
	})
}

// Lock goes on during an outage that is longer than the time limit of a request,
// and obtains the lock when the store is back.
func TestLockOverAnOutage(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"maxSessionTimeout=4000"}}).All()[0]
	o := observe(t, member)
	holder, kv := instance(t, "d", []string{member.Endpoint()}, nil), instance(t, "d", []string{o.Addr().String()}, nil)
	held, err := holder.LockWithTimeout("held", "holder", 0, 0)
	require.NoError(t, err)
	o.cut(true)
	done := make(chan error, 2)
	for _, key := range []string{"free", "held"} {
		go func() {
			pair, err := kv.LockWithTimeout(key, "waiter", 2*patience, 0)
			if err == nil {
				err = kv.Unlock(pair)
			}
			done <- err
		}()
	}
	select {
	case err := <-done:
		require.Fail(t, "Lock has given up", "%v", err)
	case <-time.After(driver.CallTimeout + 2*time.Second): // an outage
	}
	o.cut(false)
	require.NoError(t, receive(t, done, "the lock that is free"))
	require.NoError(t, holder.Unlock(held))
	require.NoError(t, receive(t, done, "the lock that was held"))
}

// A holder that is cut off knows that its lock is lost before another one gets
// it.
func TestLockOfALostSession(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"maxSessionTimeout=6000"}}).All()[0]
	o := observe(t, member)
	fatal := make(chan error, 1)
	holder, err := New("d", []string{o.Addr().String()}, nil, func(err error, _ string, _ ...interface{}) { fatal <- err })
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(holder)) }()
	pair, err := holder.LockWithTimeout("lock", "me", 0, 0)
	require.NoError(t, err)
	next := instance(t, "d", []string{member.Endpoint()}, nil)
	lost := pair.Lock.(kvdb.HeldLock).Lost()
	o.kill()
	got, err := next.LockWithTimeout("lock", "next", patience, 0)
	require.NoError(t, err)
	select {
	case <-lost:
	default:
		require.Fail(t, "two holders")
	}
	require.Greater(t, got.ModifiedIndex, pair.ModifiedIndex)
	require.Equal(t, kvdb.ErrLockRefreshFailed, receive(t, fatal, "the fatal callback"))
	require.Equal(t, kvdb.ErrInvalidLock, holder.Unlock(pair))
	require.NoError(t, next.Unlock(got))
}

// A holder is cut off together with the server that it is connected to. Its lock is lost
// before somebody else gets it. The configuration is that of ZooKeeper's zoo_sample.cfg.
func TestHolderAtAFollowerThatIsCutOff(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3, Config: []string{"tickTime=2000", "initLimit=10", "syncLimit=5"}})
	leader, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	var follower *servers.Member
	var rest []string
	for _, m := range cluster.All() {
		if m != leader && follower == nil {
			follower = m
		} else {
			rest = append(rest, m.Endpoint())
		}
	}
	holder := instance(t, "d", []string{follower.Endpoint()}, nil)
	other := instance(t, "d", rest, nil)
	_, err = other.Put("lock", "value", 0)
	require.NoError(t, err)
	held, err := holder.LockWithTimeout("lock", "holder", time.Second, 0)
	require.NoError(t, err)
	type event struct {
		what string
		at   time.Time
		err  error
	}
	events := make(chan event, 2)
	go func() {
		_, err := other.LockWithTimeout("lock", "other", time.Minute, 0)
		events <- event{"other got it", time.Now(), err}
	}()
	conn := raw(t, leader)
	require.Eventually(t, func() bool {
		names, _, err := conn.Children("/d/lock/%kvdb")
		return err == nil && len(names) == 2
	}, patience, 10*time.Millisecond)
	began := time.Now()
	require.NoError(t, follower.Peers().Blackhole())
	go func() {
		<-held.Lock.(kvdb.HeldLock).Lost()
		events <- event{"holder lost it", time.Now(), nil}
	}()
	first := receive(t, events, "one")
	second := receive(t, events, "other")
	for _, e := range []event{first, second} {
		t.Log(e.what, e.at.Sub(began), e.err)
	}
	require.Equal(t, "holder lost it", first.what)
	require.NoError(t, follower.Peers().Heal())
}
