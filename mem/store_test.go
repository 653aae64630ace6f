package mem

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
)

// Reads do not depend on the timer.
func TestReadsHideExpiredKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(10)
		ctx := t.Context()
		_, err := s.Put(ctx, driver.Write{Key: "key", TTL: time.Second})
		require.NoError(t, err)
		require.True(t, s.timer.Stop())
		time.Sleep(time.Second)
		_, err = s.Get(ctx, "key")
		require.Equal(t, kvdb.ErrNotFound, err)
		page, err := s.List(ctx, "", driver.ListOptions{})
		require.NoError(t, err)
		require.Empty(t, page.Pairs)
		require.Equal(t, uint64(2), page.Index, "the expiry has an index")
	})
}

// The timer is set to the earliest expiry, whatever is written and deleted.
func TestTimerIsSetToTheEarliest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(10)
		write := func(key string, ttl time.Duration) {
			_, err := s.Put(t.Context(), driver.Write{Key: key, TTL: ttl})
			require.NoError(t, err)
		}
		remaining := func() time.Duration {
			s.mu.RLock()
			defer s.mu.RUnlock()
			return time.Duration(s.next - s.now())
		}
		require.Nil(t, s.timer, "no timer without a TTL")
		write("a", 10*time.Second)
		write("b", 5*time.Second)
		write("c", 20*time.Second)
		require.Equal(t, 5*time.Second, remaining())
		write("b", 0)
		require.Equal(t, 10*time.Second, remaining())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 10*time.Second, remaining())
		require.NoError(t, s.DeletePrefix(t.Context(), ""))
		require.Zero(t, s.next)
		require.False(t, s.timer.Stop(), "nothing is left to expire")
		require.Zero(t, s.expiries.Len())
	})
}

// An unused store is collected as garbage, even if it was not closed.
func TestUnclosedInstanceIsCollected(t *testing.T) {
	collected := make(chan struct{})
	func() {
		s := newStore(10)
		runtime.AddCleanup(s, func(c chan struct{}) { close(c) }, collected)
		_, err := s.Put(t.Context(), driver.Write{Key: "key", TTL: time.Hour})
		require.NoError(t, err)
		_, err = s.Put(t.Context(), driver.Write{Key: "key"})
		require.NoError(t, err)
		_, err = s.Lock(t.Context(), "key", "me", 0)
		require.NoError(t, err)
	}()
	deadline := time.After(20 * time.Second)
	for {
		runtime.GC()
		select {
		case <-collected:
			return
		case <-deadline:
			t.Fatal("the store is still reachable")
		case <-time.After(time.Millisecond):
		}
	}
}

// The engine refuses calls after Close; a call that is already running is safe.
func TestCallsAfterClose(t *testing.T) {
	s := &objectStore{newStore(10)}
	ctx := context.Background()
	_, err := s.Put(ctx, driver.Write{Key: "key", TTL: time.Hour})
	require.NoError(t, err)
	lease, err := s.Lock(ctx, "lock", "me", 0)
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))
	select {
	case <-lease.Lost():
	default:
		t.Error("a lease is lost at Close")
	}
	require.Equal(t, kvdb.ErrInvalidLock, lease.Release(ctx))
	require.False(t, s.timer.Stop(), "no timer keeps a closed store alive")
	for name, call := range map[string]func() error{
		"Get":          func() error { _, err := s.Get(ctx, "key"); return err },
		"GetObject":    func() error { _, err := s.GetObject(ctx, "key"); return err },
		"List":         func() error { _, err := s.List(ctx, "", driver.ListOptions{}); return err },
		"ListObjects":  func() error { _, _, err := s.ListObjects(ctx, "", driver.ListOptions{}); return err },
		"Children":     func() error { _, err := s.Children(ctx, "", "/"); return err },
		"Put":          func() error { _, err := s.Put(ctx, driver.Write{Key: "key"}); return err },
		"Create":       func() error { _, _, err := s.Create(ctx, driver.Write{Key: "key"}); return err },
		"Delete":       func() error { _, err := s.Delete(ctx, "key", driver.Cond{}); return err },
		"DeletePrefix": func() error { return s.DeletePrefix(ctx, "") },
		"Commit":       func() error { return s.Commit(ctx, nil, nil, nil) },
		"Freeze":       func() error { _, _, err := s.Freeze([]string{""}, true); return err },
		"Lock":         func() error { _, err := s.Lock(ctx, "other", "me", 0); return err },
	} {
		require.Equal(t, kvdb.ErrClosed, call(), name)
	}
}

// The buffer of a scan keeps no reference to records when it is returned to the pool.
func TestPooledResultsAreEmpty(t *testing.T) {
	s := newStore(10)
	for _, key := range []string{"a", "b", "c"} {
		_, err := s.Put(t.Context(), driver.Write{Key: key})
		require.NoError(t, err)
	}
	found, err := s.find("", driver.ListOptions{Limit: 2})
	require.NoError(t, err)
	require.Len(t, found.entries, 2)
	require.True(t, found.more)
	entries := found.entries[:2]
	found.free()
	require.Equal(t, make([]entry, 2), entries)
	found, err = s.find("c", driver.ListOptions{})
	require.NoError(t, err)
	require.Len(t, found.entries, 1)
	require.False(t, found.more)
}

// Other calls do not wait while the pairs of a snapshot are selected.
func TestSnapshotOfPrefixDoesNotBlock(t *testing.T) {
	s := newStore(10)
	for i := range 50_000 {
		_, err := s.Put(t.Context(), driver.Write{Key: fmt.Sprintf("dir/%06d", i)})
		require.NoError(t, err)
	}
	kv, err := engine.New(engine.Config{Name: Name, Store: s})
	require.NoError(t, err)
	blocked := func() (times int) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _, _ = kv.Snapshot([]string{"dir/"}, true)
		}()
		for {
			select {
			case <-done:
				return times
			default:
			}
			if s.mu.TryLock() {
				s.mu.Unlock()
			} else {
				times++
			}
		}
	}
	for range 20 { // the goroutine that holds the lock may be descheduled
		if blocked() < 1000 {
			return
		}
	}
	t.Error("the store is locked while pairs are selected")
}
