package zookeeper

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// The calls of an instance notice before its watches do that the history has gone back. A watch
// that begins between does not end because of that: it has read nothing of the old history.
func TestWatchBeginsBeforeWatchesNotice(t *testing.T) {
	one, two := servers.ZooKeeper(t, servers.Options{}).All()[0], servers.ZooKeeper(t, servers.Options{}).All()[0]
	way := observe(t, one)
	s, err := open([]string{way.Addr().String()}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	lock, err := s.Lock(t.Context(), "d/lock", "me", 0)
	require.NoError(t, err)
	_, err = s.hub.awaitSession(t.Context())
	require.NoError(t, err)
	notice := make(chan struct{})
	way.intercept(func(q traffic) <-chan struct{} {
		if strings.HasPrefix(q.path, marks) {
			return notice
		}
		return nil
	}, nil)
	way.lead(two.Direct())
	receive(t, lock.Lost(), "the loss of the lock")

	begun := make(chan driver.Stream, 1)
	go func() {
		w, err := s.Watch(t.Context(), driver.WatchRequest{Key: "d/new", Prefix: true})
		if err != nil {
			t.Errorf("Watch: %v", err)
		}
		begun <- w
	}()
	require.Eventually(t, func() bool {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		return len(s.hub.paths["/d"]) == 1
	}, patience, 1, "the watch waits for a session")
	close(notice)
	w := receive(t, begun, "the beginning of the watch")
	require.NotNil(t, w)
	defer w.Close()
	written, err := s.Put(t.Context(), driver.Write{Key: "d/new", Value: []byte("value")})
	require.NoError(t, err)
	events, err := w.Next()
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, written.Modified, events[0].ModifiedIndex)
}

// A lock that was released is held again in the store that is restored, by a session that the
// instance continues. Others obtain the lock nevertheless.
func TestReleasedLockInBackup(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster := servers.ZooKeeper(t, servers.Options{})
	way := observeAt(t, cluster.Endpoints()[0])
	s, err := open([]string{way.Addr().String()}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	lock, err := s.Lock(t.Context(), "d/lock", "me", 0)
	require.NoError(t, err)
	before, err := s.hub.awaitSession(t.Context())
	require.NoError(t, err)
	require.NoError(t, cluster.Backup(true))
	require.NoError(t, lock.Release(t.Context()))
	way.sever()
	require.Eventually(t, func() bool { // the next session writes a mark that is not in the backup
		now, err := s.hub.awaitSession(t.Context())
		return err == nil && now != before
	}, patience, 1)
	restorePast(t, cluster, uint64(s.main.Zxid()))
	_, err = instance(t, "d", cluster.Endpoints(), nil).LockWithTimeout("lock", "next", patience, 0)
	require.NoError(t, err)
}
