package etcdv3

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// restore puts back the state of the cluster's last backup. With passed it also writes until
// the revision is larger than before.
func restore(t *testing.T, cluster *servers.Cluster, passed bool) {
	t.Helper()
	require.NoError(t, cluster.Restore(func(endpoints []string) error {
		if !passed {
			return nil
		}
		restored, err := New("d", endpoints, nil, nil)
		if err != nil {
			return err
		}
		defer kvdb.Close(restored)
		for range 10 {
			if _, err := restored.Put("key", "new", 0); err != nil {
				return err
			}
		}
		return nil
	}))
}

// A waiter for a lock looks at its key and then waits for a change since the look. It does
// not wait for a change that the store cannot have any more, because its history went back
// before the wait began or during it.
func TestWaitWhileTheHistoryGoesBack(t *testing.T) {
	for name, c := range map[string]struct{ waits, passed bool }{
		"before the wait":             {false, false},
		"before the wait, and passed": {false, true},
		"during the wait":             {true, false},
		"during the wait, and passed": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			cluster := servers.Etcd(t, servers.Options{})
			require.NoError(t, cluster.Backup(false))
			_, err := instance(t, cluster, "d", nil).Lock("lock")
			require.NoError(t, err)
			s, err := open("d", cluster.Endpoints(), nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, s.Close(t.Context())) }()
			lockKey := s.lockKey("d/lock")
			looked := s.history.now()
			_, holder, err := s.tryLock(t.Context(), lockKey, "waiter")
			require.NoError(t, err)
			require.NotNil(t, holder)
			changed := make(chan error, 1)
			wait := func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
				defer cancel()
				changed <- s.awaitChange(ctx, lockKey, startAfter(holder.revision, looked))
			}
			if c.waits {
				go wait()
				eventually(t, "the wait is registered", func() bool {
					s.hub.mu.Lock()
					defer s.hub.mu.Unlock()
					return len(s.hub.byID) > 0
				})
			}
			restore(t, cluster, c.passed)
			if !c.waits {
				go wait()
			}
			require.Error(t, receive(t, changed, "the end of the wait"))
		})
	}
}

// The first watch of an instance, from an index of a history that went back since, gets no
// event of the new history.
func TestFirstWatchAfterTheHistoryWentBack(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	require.NoError(t, cluster.Backup(false))
	_, err := instance(t, cluster, "d", nil).Put("key", "old", 0)
	require.NoError(t, err)
	kv := instance(t, cluster, "d", nil)
	pair, err := kv.Get("key")
	require.NoError(t, err)
	restore(t, cluster, true)
	require.Nil(t, receive(t, events(t, kv, "", pair.ModifiedIndex), "the end of the watch"))
}
