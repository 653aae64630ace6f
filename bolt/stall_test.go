package bolt

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// stall delays all commits, as Defragment or a slow disk does.
func stall(t *testing.T, path string) (resume func()) {
	t.Helper()
	s, err := find(path, false)
	require.NoError(t, err)
	<-s.db.writeLock
	return func() {
		s.db.writeLock <- struct{}{}
		require.NoError(t, s.release())
	}
}

// expiring returns a view whose context ends after a short time.
func expiring(t *testing.T, kv kvdb.Kvdb) kvdb.Kvdb {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return kvdb.WithContext(ctx, kv)
}

func TestLockObeysContextWhileDiskStalls(t *testing.T) {
	path := tempFile(t)
	kv := openAt(t, path)
	resume := stall(t, path)
	within(t, 20*time.Second, func() {
		_, err := expiring(t, kv).Lock("lock")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	held, _, err := kv.IsKeyLocked("lock")
	require.NoError(t, err)
	require.False(t, held)
	resume()
}

// A transaction that waits for the disk delays only the release of its own locks.
func TestUnlockWhileTransactionWaits(t *testing.T) {
	path := tempFile(t)
	kv := openAt(t, path)
	guard, err := kv.Lock("guard")
	require.NoError(t, err)
	other, err := kv.Lock("other")
	require.NoError(t, err)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	require.NoError(t, kvdb.TxGuard(tx, guard))
	_, err = tx.Put("key", "value", 0)
	require.NoError(t, err)

	s, err := find(path, false)
	require.NoError(t, err)
	resume := stall(t, path)
	committed := make(chan error, 1)
	go func() { committed <- tx.Commit() }()
	waiting := func() bool {
		s.db.mu.Lock()
		defer s.db.mu.Unlock()
		return s.db.next != nil
	}
	require.Eventually(t, waiting, 20*time.Second, time.Millisecond)
	within(t, 20*time.Second, func() {
		require.NoError(t, kv.Unlock(other))
		require.ErrorIs(t, expiring(t, kv).Unlock(guard), context.DeadlineExceeded)
	})
	resume()
	require.NoError(t, <-committed)
	// The Unlock whose context ended continues in the background.
	again, err := kv.LockWithTimeout("guard", "other", 20*time.Second, 0)
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(guard), "a second Unlock")
	require.NoError(t, kv.Unlock(again))
	require.NoError(t, s.release())
}

// A write of a view does not take effect after Close.
func TestCloseEndsWriteOfView(t *testing.T) {
	path := tempFile(t)
	other, kv := openAt(t, path), openAt(t, path)
	s, err := find(path, false)
	require.NoError(t, err)
	resume := stall(t, path)
	done := make(chan error, 1)
	go func() {
		_, err := kvdb.WithContext(context.Background(), kv).Put("key", "value", 0)
		done <- err
	}()
	waiting := func() bool {
		s.db.mu.Lock()
		defer s.db.mu.Unlock()
		return s.db.next != nil
	}
	require.Eventually(t, waiting, 20*time.Second, time.Millisecond)
	closeKvdb(t, kv)
	within(t, 20*time.Second, func() { require.ErrorIs(t, <-done, kvdb.ErrClosed) })
	resume()
	_, err = other.Get("key")
	require.Equal(t, kvdb.ErrNotFound, err)
	require.NoError(t, s.release())
}

// Defragment fails if the instance is closed or the context has ended.
func TestDefragmentAfterEnd(t *testing.T) {
	path := tempFile(t)
	kv, closed := openAt(t, path), openAt(t, path)
	closeKvdb(t, closed)
	require.Equal(t, kvdb.ErrClosed, closed.Defragment("", 0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, kvdb.WithContext(ctx, kv).Defragment("", 0), context.Canceled)
}

// A Defragment that waits for the write lock obeys its context, and ends with its instance.
func TestDefragmentObeysContext(t *testing.T) {
	path := tempFile(t)
	kv, closed := openAt(t, path), openAt(t, path)
	resume := stall(t, path)
	done := make(chan error, 1)
	go func() { done <- closed.Defragment("", 0) }()
	within(t, 20*time.Second, func() {
		require.ErrorIs(t, expiring(t, kv).Defragment("", 0), context.DeadlineExceeded)
	})
	closeKvdb(t, closed)
	within(t, 20*time.Second, func() { require.ErrorIs(t, <-done, kvdb.ErrClosed) })
	resume()
}
