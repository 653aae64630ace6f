package etcdv2

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// raw is the client library's access to keys.
func raw(t *testing.T, cluster *servers.Cluster) client.KeysAPI {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(client.Config{Endpoints: []string{cluster.All()[0].Direct()}, Transport: transport})
	require.NoError(t, err)
	return client.NewKeysAPI(c)
}

func lostOf(t *testing.T, pair *kvdb.KVPair) <-chan struct{} {
	t.Helper()
	held, ok := pair.Lock.(kvdb.HeldLock)
	require.True(t, ok)
	return held.Lost()
}

// When the answers to requests for a lock are lost, Lock obtains the lock nevertheless,
// with a fresh TTL.
func TestLockAnswerLost(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	kv := instance(t, cluster, "lost", map[string]string{kvdb.RetryCountKey: "3"}, n.wrap)
	began := time.Now()
	lost := 0
	n.loseAnswers(func(r *http.Request) bool {
		if r.Method == http.MethodPut {
			lost++
		}
		return time.Since(began) < 7*time.Second
	})
	pair, err := kv.LockWithTimeout("key", "me", await, 0)
	require.NoError(t, err)
	require.Positive(t, lost)
	reply, err := raw(t, cluster).Get(t.Context(), lockPath("lost/key"), nil)
	require.NoError(t, err)
	require.Equal(t, reply.Node.CreatedIndex, pair.ModifiedIndex)
	require.GreaterOrEqual(t, reply.Node.TTL, int64((lockTimes.TTL-6*time.Second)/time.Second), "the rest of the TTL in seconds")
	require.NoError(t, kv.Unlock(pair))
	locked, _, err := kv.IsKeyLocked("key")
	require.NoError(t, err)
	require.False(t, locked)
}

// A waiter for a lock sends only heartbeats until the lock is released. Then it gets
// the lock.
func TestLockWaitsForTheEvent(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	holder, waiter := instance(t, cluster, "wait", nil, nil), instance(t, cluster, "wait", nil, n.wrap)
	pair, err := holder.LockWithID("key", "holder")
	require.NoError(t, err)
	obtained := make(chan *kvdb.KVPair, 1)
	go func() {
		pair, _ := waiter.LockWithTimeout("key", "waiter", await, 0)
		obtained <- pair
	}()
	polls := func(r *http.Request) bool { return !isHeartbeat(r) && !waits(r) }
	eventually(t, "nobody waits", func() bool { return n.count(waits) > 0 })
	before := n.count(polls)
	eventually(t, "no heartbeat", func() bool { return n.count(isHeartbeat) >= 3 })
	require.Equal(t, before, n.count(polls))
	released := time.Now()
	require.NoError(t, holder.Unlock(pair))
	next := receive(t, obtained)
	require.NotNil(t, next)
	require.Less(t, time.Since(released), lockTimes.TTL/2)
	require.Greater(t, next.ModifiedIndex, pair.ModifiedIndex)
	require.NoError(t, waiter.Unlock(next))
}

// Lock continues during an outage until its try duration is over.
func TestLockOutlastsOutage(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	holder, kv := instance(t, cluster, "outage", nil, nil), instance(t, cluster, "outage", nil, n.wrap)
	held, err := holder.Lock("held")
	require.NoError(t, err)
	obtained := map[string]chan error{"free": make(chan error, 1), "held": make(chan error, 1)}
	lock := func(key string) {
		pair, err := kv.LockWithTimeout(key, "waiter", 2*driver.WatchTimeout, 0)
		if err == nil {
			err = kv.Unlock(pair)
		}
		obtained[key] <- err
	}
	go lock("held")
	eventually(t, "nobody waits", func() bool { return n.count(waits) > 0 })
	n.cut(everything)
	go lock("free")
	_, err = kv.LockWithTimeout("short", "waiter", time.Second, 0)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	timer := time.NewTimer(driver.WatchTimeout + 2*time.Second)
	defer timer.Stop()
	select {
	case err := <-obtained["held"]:
		require.Fail(t, "Lock has given up", "%v", err)
	case err := <-obtained["free"]:
		require.Fail(t, "Lock has given up", "%v", err)
	case <-timer.C:
	}
	n.mend()
	require.NoError(t, receive(t, obtained["free"]))
	require.NoError(t, holder.Unlock(held))
	require.NoError(t, receive(t, obtained["held"]))
}

// A holder is notified when its lock is removed by force, and does not disturb the next
// holder.
func TestLockRemovedByForce(t *testing.T) {
	t.Parallel()
	cluster, fatal := servers.Etcd35(t, servers.Options{}), make(chan error, 1)
	kv, err := New("force", cluster.Endpoints(), nil, func(err error, _ string, _ ...interface{}) { fatal <- err })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	pair, err := kv.LockWithID("key", "me")
	require.NoError(t, err)
	_, err = raw(t, cluster).Delete(t.Context(), lockPath("force/key"), nil)
	require.NoError(t, err)
	other := instance(t, cluster, "force", nil, nil)
	next, err := other.LockWithID("key", "other")
	require.NoError(t, err)
	receive(t, lostOf(t, pair))
	require.True(t, receive(t, fatal) == kvdb.ErrLockRefreshFailed)
	require.True(t, kv.Unlock(pair) == kvdb.ErrInvalidLock)
	_, owner, err := kv.IsKeyLocked("key")
	require.NoError(t, err)
	require.Equal(t, "other", owner)
	require.NoError(t, other.Unlock(next))
}

// An Unlock during an outage takes effect when the outage is over, long before the
// lock expires.
func TestUnlockDuringOutage(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	kv, other := instance(t, cluster, "outage", map[string]string{kvdb.RetryCountKey: "1"}, n.wrap), instance(t, cluster, "outage", nil, nil)
	pair, err := kv.Lock("key")
	require.NoError(t, err)
	n.cut(everything)
	require.ErrorIs(t, kv.Unlock(pair), kvdb.ErrNoConnection)
	n.mend()
	began := time.Now()
	next, err := other.LockWithTimeout("key", "other", await, 0)
	require.NoError(t, err)
	require.Less(t, time.Since(began), lockTimes.TTL/2)
	require.NoError(t, kv.Unlock(pair), "the second Unlock")
	require.NoError(t, other.Unlock(next))
}

// A request for a lock that Close ends leaves no lock behind.
func TestCloseEndsLock(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	kv, err := newInstance("close", cluster.Endpoints(), nil, nil, n.wrap)
	require.NoError(t, err)
	other := instance(t, cluster, "close", nil, nil)
	n.hold(func(r *http.Request) bool { return r.Method == http.MethodPut }, nil)
	done := make(chan error, 1)
	go func() { _, err := kv.Lock("key"); done <- err }()
	eventually(t, "not locked", func() bool {
		locked, _, err := other.IsKeyLocked("key")
		return err == nil && locked
	})
	require.NoError(t, kvdb.Close(kv))
	require.ErrorIs(t, receive(t, done), kvdb.ErrClosed)
	lock, err := other.LockWithTimeout("key", "other", 0, 0)
	require.NoError(t, err)
	require.NoError(t, other.Unlock(lock))
}

// When the store cannot be reached, a lock is lost before others can get it.
func TestLockLostInTime(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	kv, other := instance(t, cluster, "cut", nil, n.wrap), instance(t, cluster, "cut", nil, nil)
	pair, err := kv.Lock("key")
	require.NoError(t, err)
	n.cut(everything)
	next, err := other.LockWithTimeout("key", "other", await, 0)
	require.NoError(t, err)
	select {
	case <-lostOf(t, pair):
	default:
		require.Fail(t, "two holders")
	}
	require.Greater(t, next.ModifiedIndex, pair.ModifiedIndex)
	n.mend()
	require.True(t, kv.Unlock(pair) == kvdb.ErrInvalidLock)
	require.NoError(t, other.Unlock(next))
}
