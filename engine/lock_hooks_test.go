package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// lockHook records what happens to locks.
type lockHook struct {
	mu    sync.Mutex // protects calls
	calls []string
}

func (h *lockHook) add(l kvdb.LockInfo, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, fmt.Sprintf("%s %s %d ", l.Key, l.ID, l.Token)+fmt.Sprintf(format, args...))
}

func (h *lockHook) OnLockWaiting(l kvdb.LockInfo) { h.add(l, "waiting") }

func (h *lockHook) OnLockObtained(l kvdb.LockInfo, waited time.Duration) {
	h.add(l, "obtained after %v", waited)
}

func (h *lockHook) OnLockNotObtained(l kvdb.LockInfo, waited time.Duration, err error) {
	h.add(l, "not obtained after %v: %v", waited, err)
}

func (h *lockHook) OnLockHeldTooLong(l kvdb.LockInfo, held time.Duration) {
	h.add(l, "too long: %v", held)
}

func (h *lockHook) OnLockLost(l kvdb.LockInfo, held time.Duration, reason string) {
	h.add(l, "lost after %v: %s", held, reason)
}

func (h *lockHook) OnLockReleased(l kvdb.LockInfo, held time.Duration, err error) {
	h.add(l, "released after %v: %v", held, err)
}

// take returns the calls since the last take.
func (h *lockHook) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls := h.calls
	h.calls = nil
	return calls
}

// reasonedLease is a lease that knows why it was lost.
type reasonedLease struct{ *fakeLease }

func (reasonedLease) LossReason() string { return kvdb.LockRemoved }

// Hooks see each step of a lock once and in order.
func TestLockHooks(t *testing.T) {
	obtained := []string{"key me 0 waiting", "key me 17 obtained after 1s"}
	for name, c := range map[string]struct {
		end  func(kv *view, lease *fakeLease, pair *kvdb.KVPair)
		want []string
	}{
		"Unlock": {func(kv *view, _ *fakeLease, pair *kvdb.KVPair) {
			require.NoError(t, kv.Unlock(pair))
			require.NoError(t, kv.Unlock(pair))
		}, []string{"key me 17 released after 2s: <nil>"}},
		"held too long": {func(kv *view, _ *fakeLease, pair *kvdb.KVPair) {
			time.Sleep(time.Minute)
			require.NoError(t, kv.Unlock(pair))
		}, []string{"key me 17 too long: 10s", "key me 17 released after 1m2s: <nil>"}},
		"lost": {func(kv *view, lease *fakeLease, pair *kvdb.KVPair) {
			lease.release = func() error { return kvdb.ErrInvalidLock }
			close(lease.lost)
			synctest.Wait()
			require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
		}, []string{"key me 17 lost after 2s: removed"}},
		"lost at Unlock": {func(kv *view, lease *fakeLease, pair *kvdb.KVPair) {
			lease.release = func() error { return kvdb.ErrInvalidLock }
			require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
		}, []string{"key me 17 lost after 2s: removed"}},
		"lost while Unlock runs": {func(kv *view, lease *fakeLease, pair *kvdb.KVPair) {
			lease.release = func() error {
				close(lease.lost)
				synctest.Wait()
				return nil
			}
			require.NoError(t, kv.Unlock(pair))
		}, []string{"key me 17 released after 2s: <nil>"}},
		"lost just before Unlock": {func(kv *view, lease *fakeLease, pair *kvdb.KVPair) {
			close(lease.lost)
			_ = kv.Unlock(pair)
		}, []string{"key me 17 lost after 2s: removed"}},
		"Unlock fails at first": {func(kv *view, lease *fakeLease, pair *kvdb.KVPair) {
			lease.release = func() error { return kvdb.ErrNoConnection }
			require.Equal(t, kvdb.ErrNoConnection, kv.Unlock(pair))
			lease.release = func() error { return nil }
			require.NoError(t, kv.Unlock(pair))
		}, []string{"key me 17 released after 2s: " + kvdb.ErrNoConnection.Error()}},
		"Close": {func(kv *view, _ *fakeLease, pair *kvdb.KVPair) {
			require.NoError(t, kv.Close())
			require.Equal(t, kvdb.ErrClosed, kv.Unlock(pair))
		}, []string{"key me 17 lost after 2s: closed"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lease, hook := newFakeLease(), &lockHook{}
				kv := open(t, &fake{lock: func(context.Context, string, string, time.Duration) (driver.Lease, error) {
					time.Sleep(time.Second)
					return reasonedLease{lease}, nil
				}}, func(error, string, ...interface{}) {})
				kv.AddHooks(hook)
				pair, err := kv.LockWithTimeout("key", "me", time.Minute, 10*time.Second)
				require.NoError(t, err)
				require.Equal(t, obtained, hook.take())
				time.Sleep(2 * time.Second)
				c.end(kv, lease, pair)
				require.NoError(t, kv.Close())
				require.Equal(t, c.want, hook.take())
			})
		})
	}
}

// A wait that ends without the lock is seen too. A lease that does not know why it was lost has
// no reason.
func TestLockHooksNotObtained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease, hook := newFakeLease(), &lockHook{}
		err := error(&driver.HeldError{Owner: "other"})
		kv := open(t, &fake{lock: func(context.Context, string, string, time.Duration) (driver.Lease, error) {
			return lease, err
		}}, func(error, string, ...interface{}) {})
		kv.AddHooks(hook)
		_, lockErr := kv.LockWithTimeout("key", "me", 0, 0)
		require.ErrorIs(t, lockErr, kvdb.ErrExist)
		require.Equal(t, []string{"key me 0 waiting", "key me 0 not obtained after 0s: " + lockErr.Error()}, hook.take())
		err = nil
		_, lockErr = kv.LockWithTimeout("key", "me", 0, 0)
		require.NoError(t, lockErr)
		hook.take()
		close(lease.lost)
		synctest.Wait()
		require.Equal(t, []string{"key me 17 lost after 0s: unknown"}, hook.take())
		require.NoError(t, kv.Close())
	})
}
