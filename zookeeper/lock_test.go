package zookeeper

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// A program with an earlier release holds a lock as an ephemeral znode at the key.
// It and this release exclude each other.
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
	require.Equal(t, kvdb.ErrNotFound, err, "a lock is no value")
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
	_, err = kv.LockWithTimeout("dir/lock", "in vain", 50*time.Millisecond, 0) // lets the other begin to wait
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.NoError(t, conn.Delete("/d/dir/lock", -1))
	pair := receive(t, obtained, "the lock")
	require.NotNil(t, pair)
	require.ErrorIs(t, foreign(), zk.ErrNodeExists, "while this release holds it")
	_, err = kv.Put("dir/lock", "value", 0)
	require.NoError(t, err)
	_, err = kv.Delete("dir/lock")
	require.NoError(t, err)
	require.ErrorIs(t, foreign(), zk.ErrNodeExists, "a value that comes and goes frees no lock")
	require.NoError(t, kv.Unlock(pair))
}

// A waiter who got no lock is out of everybody's way when the call returns.
func TestWaiterLeavesTheQueue(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	holder, waiter := instance(t, "d", []string{member.Endpoint()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	for round := range 200 {
		pair, err := holder.LockWithID("lock", "holder")
		require.NoError(t, err)
		if round%2 == 0 {
			_, err = waiter.LockWithTimeout("lock", "waiter", time.Millisecond, 0)
			require.ErrorIs(t, err, kvdb.ErrExist)
		} else {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, context.Canceled)
			_, err = kvdb.WithContext(ctx, waiter).LockWithID("lock", "waiter")
			cancel()
			require.ErrorIs(t, err, context.Canceled)
		}
		require.NoError(t, holder.Unlock(pair))
		locked, owner, err := holder.IsKeyLocked("lock")
		require.NoError(t, err)
		require.False(t, locked, "by %s", owner)
	}
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

// bothWays runs a test for a lock that is a znode at the key, and for one in a queue
// below a key with a value.
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

// A lock whose znode somebody deletes is lost at once.
func TestLockRemovedByForce(t *testing.T) {
	bothWays(t, func(t *testing.T, member *servers.Member) {
		fatal := make(chan error, 1)
		kv, err := New("d", []string{member.Endpoint()}, nil, func(err error, _ string, _ ...interface{}) { fatal <- err })
		require.NoError(t, err)
		defer func() { require.NoError(t, kvdb.Close(kv)) }()
		pair, err := kv.LockWithTimeout("lock", "me", 0, 0)
		require.NoError(t, err)
		conn := raw(t, member)
		require.NoError(t, conn.Delete(lockZnode(t, conn, "lock"), -1))
		receive(t, pair.Lock.(kvdb.HeldLock).Lost(), "the news")
		require.Equal(t, kvdb.ErrLockRefreshFailed, receive(t, fatal, "the fatal callback"))
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
		next, err := kv.LockWithTimeout("lock", "next", 0, 0)
		require.NoError(t, err)
		require.NoError(t, kv.Unlock(next))
	})
}

// A lock that somebody else has because the holder's was removed by force stays, and
// guards no transaction of the former holder.
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
		receive(t, held.Lock.(kvdb.HeldLock).Lost(), "the news")
		require.Equal(t, kvdb.ErrInvalidLock, tx.Commit())
		require.Equal(t, kvdb.ErrInvalidLock, holder.Unlock(held))
		// What the holder had is gone.
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

// The fatal callback is told of each lost lock once, also when the holder calls Unlock
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

// A Lock goes on over an outage that is longer than the time for a
// request, and gets it when the store is back.
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
// it, and the session does not come back to life with it.
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

// The reply to the creation of a lock's znode is lost with the connection, and
// the znode is there. It is found, and no other one is made.
func TestLockWhoseReplyIsLost(t *testing.T) {
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
		require.NoError(t, err, "nothing is left behind")
		require.NoError(t, kv.Unlock(next))
	})
}

// The answer to the creation of a lock is lost, and by the time that it is looked for,
// somebody has written to its znode, to have the lock moved.
func TestLockWhoseReplyIsLostAndThatIsWritten(t *testing.T) {
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

// The caller gives up while the reply to the creation of the lock's znode is
// missing. The znode does not stay.
func TestLockThatIsGivenUp(t *testing.T) {
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

// A key below one that an earlier release has locked cannot be locked: that is told
// in time, and who waits for it waits for an event.
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

// A waiter for a lock still gets it when its session ends meanwhile.
func TestWaiterOfALostSession(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"maxSessionTimeout=4000"}}).All()[0]
	o := observe(t, member)
	holder, kv := instance(t, "d", []string{member.Endpoint()}, nil), instance(t, "d", []string{o.Addr().String()}, nil)
	_, err := holder.Put("lock", "value", 0)
	require.NoError(t, err)
	held, err := holder.LockWithTimeout("lock", "holder", 0, 0)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		pair, err := kv.LockWithTimeout("lock", "waiter", 2*patience, 0)
		if err == nil {
			err = kv.Unlock(pair)
		}
		done <- err
	}()
	conn := raw(t, member)
	queued := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool {
			names, _, err := conn.Children("/d/lock/%kvdb")
			return err == nil && len(names) == n
		}, patience, 10*time.Millisecond)
	}
	queued(2)
	o.cut(true)
	queued(1) // the session has expired
	o.cut(false)
	require.Eventually(t, func() bool { _, err := kv.Put("key", "value", 0); return err == nil }, patience, 10*time.Millisecond)
	require.NoError(t, holder.Unlock(held))
	require.NoError(t, receive(t, done, "the lock"))
}

// A waiter whose queue entry is gone returns who holds the lock, when its time
// is over.
func TestWaiterWithoutAQueueEntry(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	holder, waiter := instance(t, "d", []string{member.Endpoint()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	_, err := holder.Put("lock", "value", 0)
	require.NoError(t, err)
	held, err := holder.LockWithTimeout("lock", "the holder", 0, 0)
	require.NoError(t, err)
	conn := raw(t, member)
	queue := func() []string {
		names, _, err := conn.Children("/d/lock/%kvdb")
		require.NoError(t, err)
		return sortedEntries(names)
	}
	done := make(chan error, 1)
	go func() {
		_, err := waiter.LockWithTimeout("lock", "waiter", 5*time.Second, 0)
		done <- err
	}()
	require.Eventually(t, func() bool { return len(queue()) == 2 }, patience, time.Millisecond)
	require.NoError(t, conn.Delete("/d/lock/%kvdb/"+queue()[1], -1))
	err = receive(t, done, "the end of the wait")
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorContains(t, err, "the holder")
	require.Len(t, queue(), 1)
	require.NoError(t, holder.Unlock(held))
}

// A waiter that may not read the queue entry of the holder.
func TestWaiterOfAnotherUser(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	anybody := instance(t, "d", []string{member.Endpoint()}, nil)
	user := instance(t, "d", []string{member.Endpoint()}, map[string]string{kvdb.UsernameKey: "user", kvdb.PasswordKey: "password"})
	first, err := anybody.LockWithTimeout("lock", "anybody", 0, 0)
	require.NoError(t, err)
	require.NoError(t, anybody.Unlock(first))
	held, err := user.LockWithTimeout("lock", "user", 0, 0)
	require.NoError(t, err)
	// The server would not tell it of the release.
	_, err = anybody.LockWithTimeout("lock", "anybody", patience, 0)
	require.ErrorIs(t, err, zk.ErrNoAuth)
	require.NoError(t, user.Unlock(held))
}

// A lock whose holder is cut off together with the server that it is connected to is
// lost before somebody else gets it. The configuration is the one of ZooKeeper's
// zoo_sample.cfg.
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

// A waiter whose requests take long gets a lock that somebody else obtains again at once
// whenever he has released it.
func TestWaiterThatIsAlwaysLate(t *testing.T) {
	t.Parallel() // it mostly waits
	const (
		hold = 200 * time.Millisecond // how long the lock is held
		lag  = 20 * time.Millisecond  // of each answer to the waiter
	)
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	near, far := instance(t, "d", []string{member.Endpoint()}, nil), instance(t, "d", []string{o.Addr().String()}, nil)
	o.intercept(nil, func(traffic) { <-time.After(lag) })
	var cycles atomic.Int32
	over := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			pair, err := near.LockWithTimeout("lock", "near", patience, 0)
			if err == nil {
				select {
				case <-time.After(hold):
				case <-over:
				}
				err = near.Unlock(pair)
			}
			if err != nil {
				t.Error(err)
				return
			}
			cycles.Add(1)
			select {
			case <-over:
				return
			default:
			}
		}
	})
	defer running.Wait()
	defer close(over)
	for range 3 {
		pair, err := far.LockWithTimeout("lock", "far", patience, 0)
		require.NoError(t, err)
		require.NoError(t, far.Unlock(pair))
	}
	require.Less(t, cycles.Load(), int32(20), "times that the other one had it")
}

// A lock below one whose holder does not answer is waited for as long as one that is held.
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
