package consul

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// These tests restore a store between a look at a lock and the wait for the next change of
// its key.

// writePast writes another key until the index is larger than index.
func writePast(t *testing.T, index uint64) func(endpoints []string) error {
	return func(endpoints []string) error {
		other, err := New("other", endpoints, nil, nil)
		if err != nil {
			return err
		}
		defer func() { require.NoError(t, kvdb.Close(other)) }()
		for now := uint64(0); now <= index+10; {
			written, err := other.Put("key", "value", 0)
			if err != nil {
				return err
			}
			now = written.ModifiedIndex
		}
		return nil
	}
}

// awaited is what awaitChange returns.
type awaited struct {
	pair *api.KVPair
	err  error
}

// change waits on a goroutine for the change of what was read at a key in h.
func (s *store) change(t *testing.T, h *history, read *api.KVPair) <-chan awaited {
	done := make(chan awaited, 1)
	go func() {
		now, _, err := s.awaitChange(t.Context(), h, read, time.Now().Add(2*await))
		done <- awaited{now, err}
	}()
	return done
}

// A wait ends when the restored store has no lock, or an earlier one, at the key.
func TestWaitInRestoredStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ earlier, passed, online bool }{
		"gone":                       {},
		"gone and passed":            {passed: true},
		"gone, online":               {online: true},
		"gone and passed, online":    {passed: true, online: true},
		"an earlier one":             {earlier: true},
		"an earlier one and passed":  {earlier: true, passed: true},
		"an earlier one, online":     {earlier: true, online: true},
		"an earlier, passed, online": {earlier: true, passed: true, online: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := servers.Consul(t, servers.Options{})
			holder := open(t, "d", cluster.Endpoints(), nil)
			var first *kvdb.KVPair
			if c.earlier {
				var err error
				first, err = holder.LockWithID("lock", "first")
				require.NoError(t, err)
			}
			require.NoError(t, cluster.Backup(c.online))
			if first != nil {
				require.NoError(t, holder.Unlock(first))
			}
			second, err := holder.LockWithID("lock", "second")
			require.NoError(t, err)
			s := storeOf(t, cluster)
			h := s.history.Load()
			seen, err := s.look(t.Context(), "d/lock")
			require.NoError(t, err)
			require.Equal(t, "second", string(seen.Value))
			if c.passed {
				require.NoError(t, cluster.Restore(writePast(t, second.ModifiedIndex)))
			} else {
				require.NoError(t, cluster.Restore(nil))
			}
			got := receive(t, s.change(t, h, seen), "the end of the wait")
			require.NoError(t, got.err)
			if c.earlier && got.pair != nil { // else the session has ended
				require.Equal(t, "first", string(got.pair.Value))
			}
		})
	}
}

// What a wait knows of a history that is over does not end the next history, nor is it
// waited for.
func TestWaitAfterTheEndOfAHistory(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	client := raw(t, cluster.All()[0])
	session := newSession(t, client, api.SessionBehaviorRelease)
	lock := func(owner string) {
		taken, _, err := client.KV().Acquire(&api.KVPair{Key: "d/lock", Value: []byte(owner), Flags: lockFlags, Session: session}, nil)
		require.NoError(t, err)
		require.True(t, taken)
	}
	lock("first")
	require.NoError(t, cluster.Backup(true))
	lock("second")
	s := storeOf(t, cluster)
	seen, err := s.look(t.Context(), "d/lock")
	require.NoError(t, err)
	require.Equal(t, "second", string(seen.Value))
	old := s.history.Load()
	require.NoError(t, cluster.Restore(nil))
	eventually(t, "the restore is not noticed", func() bool {
		_, err := s.look(t.Context(), "d/none")
		return err == nil && s.history.Load() != old
	})
	own, err := s.Lock(t.Context(), "d/own", "own", await)
	require.NoError(t, err)
	now := s.history.Load()
	got := receive(t, s.change(t, old, seen), "the end of the wait")
	require.NoError(t, got.err)
	require.Equal(t, "first", string(got.pair.Value))
	require.Same(t, now, s.history.Load())
	select {
	case <-own.Lost():
		require.Fail(t, "a lock of the next history is lost")
	default:
	}
	require.NoError(t, own.Release(t.Context()))
}

// A watch ends if the store was restored to a time before a change that the watch has read,
// before it waits for the next one.
func TestWatchBegunBeforeRestore(t *testing.T) {
	t.Parallel()
	for name, passed := range map[string]bool{"not passed": false, "passed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := servers.Consul(t, servers.Options{})
			writer := open(t, "d", cluster.Endpoints(), nil)
			_, err := writer.Put("dir/key", "old", 0)
			require.NoError(t, err)
			require.NoError(t, cluster.Backup(true))
			pair, err := writer.Put("dir/key", "new", 0)
			require.NoError(t, err)
			s := storeOf(t, cluster)
			w, err := s.Watch(t.Context(), driver.WatchRequest{Key: "d/dir/", Prefix: true})
			require.NoError(t, err)
			defer w.Close()
			if passed {
				require.NoError(t, cluster.Restore(writePast(t, pair.ModifiedIndex)))
			} else {
				require.NoError(t, cluster.Restore(nil))
			}
			ended := make(chan error, 1)
			go func() {
				_, err := w.Next()
				ended <- err
			}()
			require.ErrorIs(t, receive(t, ended, "the end of the watch"), kvdb.ErrWatchRevisionCompacted)
		})
	}
}
