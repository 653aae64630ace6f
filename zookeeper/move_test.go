package zookeeper

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
)

// A lock that is lost while it moves to the queue is released if its session lives
// on.
func TestLockThatIsLostWhileItMoves(t *testing.T) {
	member := servers.ZooKeeper(t, lazy).All()[0]
	o := observe(t, member)
	s, err := open([]string{o.Addr().String()}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	other := instance(t, "d", []string{member.Endpoint()}, nil)
	for range 5 {
		lock, err := s.Lock(t.Context(), "d/lock", "me", 0)
		require.NoError(t, err)
		var once sync.Once
		o.intercept(nil, func(q traffic) {
			if q.operation == "multi" {
				once.Do(s.leases.loseAll)
			}
		})
		_, err = other.Put("lock/key", "value", 0)
		require.NoError(t, err)
		receive(t, lock.Lost(), "the loss")
		next, err := other.LockWithTimeout("lock", "next", 5*time.Second, 0)
		require.NoError(t, err)
		require.NoError(t, other.Unlock(next))
		require.NoError(t, other.DeleteTree("lock"))
		o.intercept(nil, nil)
	}
}

// A holder moves its lock to the queue for a transaction, although others keep writing to
// the lock's znode meanwhile.
func TestLockThatIsWrittenWhileItMoves(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	holder, conn := instance(t, "d", []string{o.Addr().String()}, nil), raw(t, member)
	lock, err := holder.LockWithTimeout("lock", "me", 0, 0)
	require.NoError(t, err)
	write := func() {
		if _, err := conn.Set("/d/lock", []byte("value"), -1); err != nil {
			t.Error(err)
		}
	}
	heard := make(chan struct{})
	var sent atomic.Int32
	o.intercept(func(q traffic) <-chan struct{} {
		if q.operation == "multi" && sent.Add(1) <= 3 { // the guarded one, and two that move
			write()
		}
		return nil
	}, func(q traffic) {
		if q.operation == event {
			<-heard
		}
	})
	require.NoError(t, guarded(t, holder, "guarded", lock).Commit())
	require.GreaterOrEqual(t, sent.Load(), int32(5))
	o.intercept(nil, nil)
	close(heard)
	isLockOf(t, holder, "me", lock)
	require.NoError(t, holder.Unlock(lock))
}
