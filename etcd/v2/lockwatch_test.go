package etcdv2

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// prompt bounds the time from the removal of a lock to its loss. The requests that keep
// a lock, one each 2 s, would show the removals too late.
const prompt = 500 * time.Millisecond

// removeOneByOne removes the nodes of locks by force, and asserts that each lock is lost
// at once, and not before.
func removeOneByOne(t *testing.T, cluster *servers.Cluster, root map[string]string, domain string, locks []*kvdb.KVPair) {
	t.Helper()
	s, err := open("", cluster.Endpoints(), root, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	for i, lock := range locks {
		select {
		case <-lostOf(t, lock):
			require.Fail(t, "a lock is lost before its removal", "number %d", i)
		default:
		}
		_, err := s.remove(t.Context(), lockPath(domain+lock.Key), client.DeleteOptions{})
		require.NoError(t, err)
		removed := time.Now()
		receive(t, lostOf(t, lock))
		require.Less(t, time.Since(removed), prompt, "number %d", i)
	}
}

// lockAll locks n keys.
func lockAll(t *testing.T, kv kvdb.Kvdb, name string, n int) []*kvdb.KVPair {
	t.Helper()
	locks := make([]*kvdb.KVPair, n)
	for i := range locks {
		var err error
		locks[i], err = kv.Lock(fmt.Sprint(name, i))
		require.NoError(t, err)
	}
	return locks
}

func watchesLocks(r *http.Request) bool {
	return streams(r) && strings.HasPrefix(r.URL.Path, "/v2/keys/"+locksDir)
}

// A lock that is removed is lost at once, even if the watch has lost its connection
// before. One stream watches many locks, together or one after the other.
func TestLocksAreWatched(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	kv := instance(t, cluster, "watched", nil, n.wrap)
	locks := lockAll(t, kv, "key", 24)
	eventually(t, "no watch", func() bool { return n.count(watchesLocks) == 1 })
	require.NoError(t, kv.Unlock(locks[0]))
	removeOneByOne(t, cluster, nil, "watched/", locks[1:8])
	for range 3 {
		lock, err := kv.Lock("again")
		require.NoError(t, err)
		timer := time.NewTimer(2 * watchAfter)
		<-timer.C
		require.NoError(t, kv.Unlock(lock))
	}
	require.Equal(t, 1, n.count(watchesLocks))
	n.cut(waits)
	n.mend()
	eventually(t, "no watch again", func() bool { return n.count(watchesLocks) == 2 })
	removeOneByOne(t, cluster, nil, "watched/", locks[8:16])
	n.cut(waits)
	_, err := raw(t, cluster).Delete(t.Context(), lockPath("watched/"+locks[16].Key), nil)
	require.NoError(t, err)
	n.mend()
	receive(t, lostOf(t, locks[16]))
	removeOneByOne(t, cluster, nil, "watched/", locks[17:])
}

// The removal of a lock before it is watched is noticed when the watch begins.
func TestLockRemovedBeforeItIsWatched(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{})
	kv := instance(t, cluster, "early", nil, nil)
	for i := range 8 { // the first lock begins the watch, the others use it
		removeOneByOne(t, cluster, nil, "early/", lockAll(t, kv, fmt.Sprint("key", i), 1))
	}
}

// A lock has a watch of its own if the server hides its key from lists, or if the user
// may not read the locks of others.
func TestLocksAreWatchedAlone(t *testing.T) {
	t.Parallel()
	t.Run("hidden", func(t *testing.T) {
		t.Parallel()
		cluster := servers.Etcd35(t, servers.Options{})
		removeOneByOne(t, cluster, nil, "", lockAll(t, instance(t, cluster, "", nil, nil), "_key", 8))
	})
	t.Run("user", func(t *testing.T) {
		t.Parallel()
		cluster, options := withUsers(t, 1)
		as, root, n := logins(t, cluster, options), instance(t, cluster, "users", options, nil), &network{}
		require.NoError(t, root.AddUser("user", "password"))
		require.NoError(t, root.GrantUserAccess("user", kvdb.ReadWritePermission, "dir"))
		kv := instance(t, cluster, "users", as("user", "password"), n.wrap)
		locks := lockAll(t, kv, "dir/key", 4)
		alone := func(r *http.Request) bool { return watchesLocks(r) && strings.Contains(r.URL.Path, "key") }
		eventually(t, "no watches", func() bool { return n.count(alone) >= len(locks) })
		removeOneByOne(t, cluster, options, "users/", locks)
	})
}
