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
	"github.com/portworx/kvdb/test/servers"
)

// When Lock fails, its entry is not in the queue any more.
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

// A waiter obtains the lock even if its session ends meanwhile.
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

// When the time of a waiter whose queue entry is gone is over, its error names the
// holder.
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

// Lock returns zk.ErrNoAuth to a waiter that may not read the queue entry of the holder.
func TestWaiterOfAnotherUser(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	anybody := instance(t, "d", []string{member.Endpoint()}, nil)
	user := instance(t, "d", []string{member.Endpoint()}, map[string]string{kvdb.UsernameKey: "user", kvdb.PasswordKey: "password"})
	first, err := anybody.LockWithTimeout("lock", "anybody", 0, 0)
	require.NoError(t, err)
	require.NoError(t, anybody.Unlock(first))
	held, err := user.LockWithTimeout("lock", "user", 0, 0)
	require.NoError(t, err)
	// The server would not report the release to it.
	_, err = anybody.LockWithTimeout("lock", "anybody", patience, 0)
	require.ErrorIs(t, err, zk.ErrNoAuth)
	require.NoError(t, user.Unlock(held))
}

// A waiter whose requests are slow obtains a lock although another instance locks it again
// immediately after each release.
func TestSlowWaiter(t *testing.T) {
	t.Parallel() // it mostly waits
	const (
		hold = 200 * time.Millisecond // how long the lock is held
		lag  = 20 * time.Millisecond  // delay of each reply to the waiter
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
	require.Less(t, cycles.Load(), int32(20), "how often the other instance obtained the lock")
}
