package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/fatalcb"
)

// leased returns an instance whose store returns lease, and the errors that its fatal
// callback gets.
func leased(t *testing.T, lease driver.Lease) (*view, chan error) {
	fatal := make(chan error, 10)
	f := &fake{lock: func(context.Context, string, string, time.Duration) (driver.Lease, error) { return lease, nil }}
	return open(t, f, func(err error, format string, args ...interface{}) {
		fatal <- fmt.Errorf("%w: "+format, append([]interface{}{err}, args...)...)
	}), fatal
}

// A lock that is lost is reported at once, and only once.
func TestLostLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := newFakeLease()
		kv, fatal := leased(t, lease)
		pair, err := kv.LockWithTimeout("key", "me", time.Second, time.Minute)
		require.NoError(t, err)
		held := pair.Lock.(kvdb.HeldLock)
		require.EqualValues(t, 17, held.Token())
		require.EqualValues(t, 17, pair.ModifiedIndex)
		lease.release = func() error { return kvdb.ErrInvalidLock }
		close(lease.lost)
		<-held.Lost()
		report := <-fatal
		require.ErrorIs(t, report, kvdb.ErrLockRefreshFailed)
		require.ErrorContains(t, report, "key")
		require.ErrorContains(t, report, "me")
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, fatal, "a lost lock does not exceed the hold limit")
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair), "again")
		require.NoError(t, kv.Close())
	})
}

// The fatal callback is not called for a lock whose holder has taken over its loss.
func TestLostLockOfItsHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := newFakeLease()
		kv, fatal := leased(t, lease)
		view := kv.BindContext(fatalcb.Without(t.Context()))
		pair, err := view.LockWithTimeout("key", "me", time.Second, time.Minute)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		lease.release = func() error { return kvdb.ErrInvalidLock }
		close(lease.lost)
		synctest.Wait()
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
		synctest.Wait()
		require.Empty(t, fatal)
		require.NoError(t, kv.Close())
	})
}

// A lock that is held for too long is reported once. A later loss is reported too.
func TestLockHeldForTooLongAndLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := newFakeLease()
		kv, fatal := leased(t, lease)
		began := time.Now()
		_, err := kv.LockWithTimeout("key", "me", time.Second, time.Minute)
		require.NoError(t, err)
		report := <-fatal
		require.ErrorIs(t, report, kvdb.ErrLockHoldTimeoutTriggered)
		require.Equal(t, time.Minute, time.Since(began))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, fatal)
		require.Zero(t, lease.released, "the lock is not released")
		close(lease.lost)
		require.ErrorIs(t, <-fatal, kvdb.ErrLockRefreshFailed)
		require.NoError(t, kv.Close())
	})
}

// Unlock sends a request again after an Unlock that failed, and none after one that
// succeeded.
func TestUnlockAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := newFakeLease()
		kv, fatal := leased(t, lease)
		pair, err := kv.LockWithTimeout("key", "me", time.Second, time.Minute)
		require.NoError(t, err)
		lease.release = func() error { return kvdb.ErrNoConnection }
		require.ErrorIs(t, kv.Unlock(pair), kvdb.ErrNoConnection)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, fatal, "a lock whose Unlock failed does not exceed the hold limit")
		lease.release = func() error { return nil }
		require.NoError(t, kv.Unlock(pair))
		require.NoError(t, kv.Unlock(pair))
		require.Equal(t, 2, lease.released)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, fatal, "a released lock does not exceed the hold limit")
		require.NoError(t, kv.Close())
	})
}

// A loss after a failed Unlock is not reported, because the caller has given up the lock.
func TestLostAfterUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := newFakeLease()
		kv, fatal := leased(t, lease)
		pair, err := kv.Lock("key")
		require.NoError(t, err)
		lease.release = func() error { return kvdb.ErrNoConnection }
		require.ErrorIs(t, kv.Unlock(pair), kvdb.ErrNoConnection)
		synctest.Wait()
		close(lease.lost)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, fatal)
		lease.release = func() error { return kvdb.ErrInvalidLock }
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
		require.NoError(t, kv.Close())
	})
}

// The pair of a lock can be used with the instance that returned it, and with its views.
func TestUnlockOfAnotherInstance(t *testing.T) {
	kv, _ := leased(t, newFakeLease())
	other, _ := leased(t, newFakeLease())
	pair, err := kv.BindContext(t.Context()).Lock("key")
	require.NoError(t, err)
	require.Equal(t, kvdb.ErrInvalidLock, other.Unlock(pair))
	copied := *pair
	require.NoError(t, kv.Unlock(&copied))
	require.NoError(t, kv.Close())
	require.NoError(t, other.Close())
}

// Only one of the callers that wait for a key waits in the store, for its remaining time.
func TestOneWaiterInTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waiting atomic.Int32
		f := &fake{}
		f.lock = func(ctx context.Context, _, _ string, wait time.Duration) (driver.Lease, error) {
			if wait <= 0 {
				return nil, &driver.HeldError{Owner: "another"}
			}
			require.EqualValues(t, 1, waiting.Add(1))
			defer waiting.Add(-1)
			select {
			case <-time.After(wait):
				return nil, &driver.HeldError{Owner: "somebody"}
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		kv := open(t, f, nil)
		began := time.Now()
		errs := make(chan error, 3)
		for i := range 3 {
			go func() {
				_, err := kv.LockWithTimeout("key", "me", time.Duration(i+1)*time.Second, 0)
				errs <- err
			}()
			synctest.Wait()
		}
		for i := range 3 {
			err := <-errs
			require.ErrorIs(t, err, kvdb.ErrExist)
			require.ErrorContains(t, err, `"key"`)
			require.ErrorContains(t, err, "somebody")
			require.Equal(t, time.Duration(i+1)*time.Second, time.Since(began))
		}
		_, err := kv.LockWithTimeout("key", "me", 0, 0)
		require.ErrorIs(t, err, kvdb.ErrExist)
		require.ErrorContains(t, err, "another")
		require.NoError(t, kv.Close())
	})
}

// The error of a lock that is not obtained says that its owner is not known.
func TestUnknownOwner(t *testing.T) {
	f := &fake{lock: func(context.Context, string, string, time.Duration) (driver.Lease, error) {
		return nil, &driver.HeldError{}
	}}
	kv := open(t, f, nil)
	_, err := kv.LockWithTimeout("key", "me", 0, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorContains(t, err, "not found out")
	require.NotContains(t, err.Error(), `""`)
	require.NoError(t, kv.Close())
}

// A lost lock is reported once, even if its holder calls Unlock or Close as soon as Lost is
// closed.
func TestLostLockIsReportedOnce(t *testing.T) {
	for range 200 { // a select with several ready cases takes any of them
		for name, next := range map[string]func(kv *view, pair *kvdb.KVPair) error{
			"nothing":        func(*view, *kvdb.KVPair) error { return nil },
			"Unlock":         func(kv *view, pair *kvdb.KVPair) error { return kv.Unlock(pair) },
			"Close":          func(kv *view, _ *kvdb.KVPair) error { return kv.Close() },
			"Unlock, Unlock": func(kv *view, pair *kvdb.KVPair) error { return errors.Join(kv.Unlock(pair), kv.Unlock(pair)) },
			"Unlock, Close":  func(kv *view, pair *kvdb.KVPair) error { return errors.Join(kv.Unlock(pair), kv.Close()) },
		} {
			synctest.Test(t, func(t *testing.T) {
				lease := newFakeLease()
				lease.release = func() error { return kvdb.ErrInvalidLock }
				kv, fatal := leased(t, lease)
				pair, err := kv.LockWithTimeout("key", "me", time.Second, time.Minute)
				require.NoError(t, err)
				time.Sleep(time.Minute - time.Nanosecond)
				synctest.Wait()
				close(lease.lost)
				err = next(kv, pair)
				if strings.HasPrefix(name, "Unlock") {
					require.ErrorIs(t, err, kvdb.ErrInvalidLock)
				} else {
					require.NoError(t, err)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				require.Len(t, fatal, 1, name)
				require.ErrorIs(t, <-fatal, kvdb.ErrLockRefreshFailed)
				require.NoError(t, kv.Close())
			})
		}
	}
}

// If Unlock is called at the moment of the hold limit, the limit is reported at most
// once, and not after Unlock.
func TestNoReportAfterUnlock(t *testing.T) {
	for range 200 {
		for name, give := range map[string]func(kv *view, pair *kvdb.KVPair) error{
			"Unlock": func(kv *view, pair *kvdb.KVPair) error { return kv.Unlock(pair) },
			"Close":  func(kv *view, _ *kvdb.KVPair) error { return kv.Close() },
		} {
			synctest.Test(t, func(t *testing.T) {
				lease := newFakeLease()
				kv, fatal := leased(t, lease)
				pair, err := kv.LockWithTimeout("key", "me", time.Second, time.Minute)
				require.NoError(t, err)
				time.Sleep(time.Minute)
				require.NoError(t, give(kv, pair))
				synctest.Wait()
				reports := len(fatal)
				require.LessOrEqual(t, reports, 1, name)
				time.Sleep(time.Hour)
				synctest.Wait()
				require.Len(t, fatal, reports, name)
				require.NoError(t, kv.Close())
			})
		}
	}
}

// A lock that is lost while its Unlock runs is not reported.
func TestLostDuringUnlock(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			lease := newFakeLease()
			kv, fatal := leased(t, lease)
			pair, err := kv.LockWithTimeout("key", "me", time.Second, 0)
			require.NoError(t, err)
			lease.release = func() error { close(lease.lost); return kvdb.ErrInvalidLock }
			require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
			synctest.Wait()
			require.Empty(t, fatal)
			require.NoError(t, kv.Close())
		})
	}
}

// An Unlock that waits for another one obeys its context.
func TestUnlockWhileAnotherRuns(t *testing.T) {
	lease := newFakeLease()
	kv, _ := leased(t, lease)
	pair, err := kv.Lock("key")
	require.NoError(t, err)
	running, end := make(chan struct{}), make(chan struct{})
	lease.release = func() error { close(running); <-end; return nil }
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- kv.Unlock(pair) }()
	<-running
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	go func() { second <- kvdb.WithContext(ctx, kv).Unlock(pair) }()
	select {
	case err := <-second:
		require.ErrorIs(t, err, context.DeadlineExceeded)
	case <-time.After(20 * time.Second):
		t.Error("Unlock did not return")
	}
	close(end)
	require.NoError(t, <-first)
	require.NoError(t, kv.Unlock(pair))
	require.Equal(t, 1, lease.released)
	require.NoError(t, kv.Close())
}

// An Unlock that waits for another one sends nothing if the other one succeeds.
func TestUnlockAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := newFakeLease()
		kv, _ := leased(t, lease)
		pair, err := kv.Lock("key")
		require.NoError(t, err)
		end := make(chan struct{})
		lease.release = func() error { <-end; return nil }
		results := make(chan error, 2)
		for range 2 {
			go func() { results <- kv.Unlock(pair) }()
			synctest.Wait()
		}
		close(end)
		require.NoError(t, <-results)
		require.NoError(t, <-results)
		require.Equal(t, 1, lease.released)
		require.NoError(t, kv.Close())
	})
}

// A fatal callback may close the instance.
func TestFatalCallbackCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := newFakeLease()
		closed := make(chan error, 1)
		var kv *view
		f := &fake{lock: func(context.Context, string, string, time.Duration) (driver.Lease, error) { return lease, nil }}
		kv = open(t, f, func(error, string, ...interface{}) { closed <- kv.Close() })
		_, err := kv.Lock("key")
		require.NoError(t, err)
		began := time.Now()
		close(lease.lost)
		require.NoError(t, <-closed)
		require.Zero(t, time.Since(began))
	})
}
