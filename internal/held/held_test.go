package held

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/life"
)

const (
	ttl    = 16 * time.Second
	margin = time.Second
)

var (
	_ driver.Lease        = (*Lock)(nil)
	_ driver.LossReasoner = (*Lock)(nil)
)

// answer is the result of a request to remove a lock.
type answer struct {
	removed bool
	err     error
}

var (
	done      = answer{removed: true}
	notThere  = answer{}
	unknown   = answer{err: fmt.Errorf("%w: the answer is lost", kvdb.ErrUnknownOutcome)}
	unreached = answer{err: kvdb.ErrNoConnection}
)

// fake is a store that records the times of the requests to remove a lock.
type fake struct {
	t     *testing.T
	life  *life.Group
	locks *Locks

	mu       sync.Mutex  // protects the fields below
	answers  chan answer // the results of the next requests; later requests repeat the last one
	last     answer
	requests []time.Time
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, life: life.New(), answers: make(chan answer, 10), last: done}
	f.locks = NewLocks(f.life, Times{TTL: ttl, Margin: margin})
	return f
}

func (f *fake) remove(ctx context.Context) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, time.Now())
	select {
	case f.last = <-f.answers:
	default:
	}
	return f.last.removed, f.last.err
}

// sent waits until all goroutines of the bubble are blocked, and returns the times of the
// requests so far.
func (f *fake) sent() []time.Time {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

func (f *fake) will(answers ...answer) {
	for _, a := range answers {
		f.answers <- a
	}
}

// lock returns a lock that was obtained by a request sent now.
func (f *fake) lock(key string) *Lock {
	l := f.locks.Add(key, 17, f.remove)
	l.Renewed(time.Now())
	return l
}

func (f *fake) close() {
	f.t.Helper()
	ctx, cancel := driver.WithTimeLimit(f.t.Context(), time.Minute)
	defer cancel()
	require.NoError(f.t, f.locks.Close(ctx))
}

func isLost(l *Lock) bool {
	synctest.Wait()
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

// test runs f with a store, in a synctest bubble.
func test(t *testing.T, f func(*testing.T, *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newFake(t)) })
}

// A lock is lost margin before its lease can end. The time counts from when the request was
// sent, not from its answer.
func TestLostByTheClock(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		sent := time.Now()
		time.Sleep(3 * time.Second) // until the answer
		l := f.locks.Add("key", 17, f.remove)
		l.Renewed(sent)
		require.EqualValues(t, 17, l.Token())
		time.Sleep(time.Until(sent.Add(ttl - margin - time.Nanosecond)))
		require.False(t, isLost(l))
		require.NoError(t, l.Context().Err())
		time.Sleep(time.Nanosecond)
		require.True(t, isLost(l))
		require.Error(t, l.Context().Err())
		require.Equal(t, kvdb.LockExpired, l.LossReason())
		require.Equal(t, kvdb.ErrInvalidLock, l.Release(t.Context()))
		require.Equal(t, kvdb.ErrInvalidLock, l.Release(t.Context()))
		require.Empty(t, f.sent(), "the lock may have another holder")
		f.close()
		require.Empty(t, f.sent())
	})
}

// A request that keeps the lock alive counts from when it was sent, however late its answer
// comes.
func TestRenewed(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		l := f.lock("key")
		for range 10 {
			time.Sleep(5 * time.Second)
			sent := time.Now()
			time.Sleep(4 * time.Second)
			l.Renewed(sent)
		}
		last := time.Now()
		l.Renewed(last)
		time.Sleep(4 * time.Second)
		l.Renewed(last.Add(-time.Second)) // the answers came in the other order
		time.Sleep(time.Until(last.Add(ttl - margin - time.Nanosecond)))
		require.False(t, isLost(l))
		time.Sleep(time.Nanosecond)
		require.True(t, isLost(l))
		l.Renewed(time.Now())
		require.True(t, isLost(l))
		require.Equal(t, kvdb.ErrInvalidLock, l.Release(t.Context()))
		f.close()
	})
}

// A lock is lost when an answer comes too late, even if the clock did not run meanwhile,
// because the machine was suspended for example.
func TestRenewedTooLate(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		l := f.locks.Add("key", 17, f.remove)
		l.Renewed(time.Now().Add(-ttl))
		require.True(t, isLost(l))
		f.close()
	})
}

// A lock is released once, and not lost afterwards.
func TestReleaseTwice(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		l := f.lock("key")
		require.NoError(t, l.Release(t.Context()))
		require.NoError(t, l.Release(t.Context()))
		require.Error(t, l.Context().Err())
		require.Len(t, f.sent(), 1)
		l.Gone()
		l.Lose()
		l.Renewed(time.Now())
		time.Sleep(ttl)
		require.False(t, isLost(l))
		require.NoError(t, l.Release(t.Context()))
		f.close()
		require.Len(t, f.sent(), 1)
	})
}

// Release of a lock that is no longer in the store reports it as lost, because another
// client removed it.
func TestReleaseOfRemovedLock(t *testing.T) {
	for name, before := range map[string][]answer{"at once": nil, "after a request that has not run": {unreached}} {
		t.Run(name, func(t *testing.T) {
			test(t, func(t *testing.T, f *fake) {
				f.will(append(before, notThere)...)
				l := f.lock("key")
				for range before {
					require.Equal(t, kvdb.ErrNoConnection, l.Release(t.Context()))
				}
				require.Equal(t, kvdb.ErrInvalidLock, l.Release(t.Context()))
				require.True(t, isLost(l))
				require.Equal(t, kvdb.ErrInvalidLock, l.Release(t.Context()), "again")
				f.close()
				require.Equal(t, kvdb.LockRemoved, l.LossReason())
			})
		})
	}
}

// If the lock is no longer in the store after a request with an unknown outcome, that
// request removed it, so Release succeeds.
func TestReleaseOfUnknownOutcome(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		f.will(unknown, unreached, notThere)
		l := f.lock("key")
		require.ErrorIs(t, l.Release(t.Context()), kvdb.ErrUnknownOutcome)
		require.Equal(t, kvdb.ErrNoConnection, l.Release(t.Context()))
		require.NoError(t, l.Release(t.Context()))
		require.NoError(t, l.Release(t.Context()))
		require.Len(t, f.sent(), 3)
		time.Sleep(ttl)
		require.False(t, isLost(l))
		require.Len(t, f.sent(), 3, "nothing is sent in the background")
		f.close()
	})
}

// While a lock is being released, Gone does not make it lost, but the clock does.
func TestLostDuringRelease(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		began, answered := time.Now(), make(chan answer)
		l := f.locks.Add("key", 17, func(context.Context) (bool, error) {
			a := <-answered
			return a.removed, a.err
		})
		l.Renewed(began)
		result := make(chan error, 1)
		go func() { result <- l.Release(t.Context()) }()
		synctest.Wait()
		require.Error(t, l.Context().Err(), "the lock need not be kept alive")
		l.Gone()
		require.False(t, isLost(l))
		time.Sleep(ttl - margin)
		require.True(t, isLost(l))
		answered <- done
		require.Equal(t, kvdb.ErrInvalidLock, <-result, "the lock was reported as lost")
		require.Equal(t, kvdb.ErrInvalidLock, l.Release(t.Context()))
		f.close()
	})
}

// One request at a time removes a lock: the second call has the result of the first.
func TestConcurrentReleases(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		answered, requests := make(chan answer), 0
		l := f.locks.Add("key", 17, func(context.Context) (bool, error) {
			requests++
			a := <-answered
			return a.removed, a.err
		})
		results := make(chan error, 2)
		for range 2 {
			go func() { results <- l.Release(t.Context()) }()
		}
		synctest.Wait()
		ctx, cancel := driver.WithTimeLimit(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, l.Release(ctx), kvdb.ErrNoConnection, "Release obeys its context")
		answered <- done
		require.NoError(t, <-results)
		require.NoError(t, <-results)
		require.Equal(t, 1, requests)
		f.close()
	})
}

// A Release that does not reach the store continues in the background.
func TestReleaseLater(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		f.will(unreached, unknown, unreached, notThere)
		l := f.lock("key")
		began := time.Now()
		require.Equal(t, kvdb.ErrNoConnection, l.Release(t.Context()))
		time.Sleep(5 * time.Second)
		require.Len(t, f.sent(), 4)
		require.GreaterOrEqual(t, f.sent()[1].Sub(began), strayTime)
		require.False(t, isLost(l))
		require.NoError(t, l.Release(t.Context()))
		time.Sleep(ttl)
		require.False(t, isLost(l))
		require.Len(t, f.sent(), 4)
		f.close()
	})
}

// A Release in the background ends when the lock must have expired, and the lock is lost. A
// second Release starts no second goroutine.
func TestLostDuringLaterRelease(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		f.will(unreached)
		l := f.lock("key")
		require.Equal(t, kvdb.ErrNoConnection, l.Release(t.Context()))
		require.Equal(t, kvdb.ErrNoConnection, l.Release(t.Context()))
		time.Sleep(ttl - margin)
		require.True(t, isLost(l))
		require.Equal(t, kvdb.ErrInvalidLock, l.Release(t.Context()))
		time.Sleep(2 * margin)
		before := len(f.sent())
		require.LessOrEqual(t, before, 1+2*int(ttl/time.Second), "one goroutine sends requests")
		time.Sleep(time.Hour)
		require.Len(t, f.sent(), before)
		f.close()
	})
}

// A release that the store refuses is retried while the lock is held, because a lock whose
// lease is kept alive together with others would not expire.
func TestReleaseRefused(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		f.will(answer{err: kvdb.ErrPermission}, answer{err: kvdb.ErrPermission}, answer{err: kvdb.ErrPermission}, done)
		l := f.lock("key")
		require.Equal(t, kvdb.ErrPermission, l.Release(t.Context()))
		time.Sleep(2 * time.Second)
		require.Len(t, f.sent(), 4)
		require.NoError(t, l.Release(t.Context()))
		require.False(t, l.IsLost())
		f.close()
	})
}

// A lock that is gone from the store is lost, and all locks are lost with their common
// lease.
func TestGoneAndLost(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		first, second, third := f.lock("first"), f.lock("second"), f.lock("third")
		first.Gone()
		first.Gone()
		require.True(t, isLost(first))
		require.False(t, isLost(second))
		require.NoError(t, second.Release(t.Context()))
		f.locks.Lose()
		require.False(t, isLost(second))
		require.True(t, isLost(third))
		require.Equal(t, kvdb.ErrInvalidLock, third.Release(t.Context()))
		f.close()
		require.Len(t, f.sent(), 1)
		require.Equal(t, kvdb.LockRemoved, first.LossReason())
		require.Empty(t, second.LossReason())
		require.Equal(t, kvdb.LockExpired, third.LossReason())
	})
}

// ReleaseStray removes a lock that a request may have left, and retries until the lease
// must have ended.
func TestReleaseStray(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		f.will(unreached, notThere)
		began := time.Now()
		f.locks.ReleaseStray("key", f.remove)
		time.Sleep(time.Second)
		require.Len(t, f.sent(), 2)
		require.Equal(t, strayTime, f.sent()[0].Sub(began))
		f.will(unreached)
		f.locks.ReleaseStray("key", f.remove)
		time.Sleep(ttl + time.Second)
		before := len(f.sent())
		time.Sleep(time.Hour)
		require.Len(t, f.sent(), before)
		f.close()
	})
}

// Close marks locks as lost, releases them at once, and waits for that.
func TestClose(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		l := f.locks.Add("key", 17, nil)
		l.remove = func(ctx context.Context) (bool, error) {
			require.True(t, isLost(l), "the lock is lost before another client can obtain it")
			require.NoError(t, ctx.Err())
			return f.remove(ctx)
		}
		released := f.lock("released")
		require.NoError(t, released.Release(t.Context()))
		leave, err := f.life.Enter()
		require.NoError(t, err)
		go func() {
			time.Sleep(time.Second)
			f.locks.ReleaseStray("stray", f.remove)
			leave()
		}()
		began := time.Now()
		f.close()
		require.Equal(t, time.Second+strayTime, time.Since(began))
		require.Len(t, f.sent(), 3)
		require.Equal(t, began.Add(time.Second), f.sent()[1])
		require.False(t, isLost(released))
		require.Equal(t, kvdb.ErrInvalidLock, l.Release(t.Context()))
		require.Equal(t, kvdb.LockClosed, l.LossReason())
	})
}

// The error of Close names each lock that is not released once.
func TestCloseNamesLocks(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		var locks []*Lock
		for _, key := range []string{"held", "given up", "lost", "refused", "released"} {
			l := f.locks.Add(key, 17, func(context.Context) (bool, error) {
				switch key {
				case "refused":
					return false, kvdb.ErrPermission
				case "released":
					return true, nil
				}
				return false, kvdb.ErrNoConnection
			})
			l.Renewed(time.Now())
			locks = append(locks, l)
		}
		require.Equal(t, kvdb.ErrNoConnection, locks[1].Release(t.Context()))
		locks[2].Lose()
		f.locks.ReleaseStray("given up", func(ctx context.Context) (bool, error) {
			<-ctx.Done()
			return false, errors.New("given up")
		})
		ctx, cancel := driver.WithTimeLimit(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		err := f.locks.Close(ctx)
		require.Equal(t, 5*time.Second, time.Since(began))
		require.ErrorIs(t, err, kvdb.ErrNoConnection)
		require.ErrorContains(t, err, `["given up" "held"]`)
	})
}

// A stopped clock does not start again when an answer comes.
func TestExpiryStopped(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		e := NewExpiry(f.locks.times, func() { t.Error("lose was called") })
		e.Renewed(time.Now())
		e.Stop()
		e.Renewed(time.Now().Add(time.Second))
		NewExpiry(f.locks.times, nil).Stop() // which has not started
		l := f.lock("key")
		require.NoError(t, l.Release(t.Context()))
		require.True(t, l.expiry.stopped, "the timer of a released lock is stopped")
		time.Sleep(2 * ttl)
		f.close()
	})
}

// If a lock is obtained again, the earlier one is lost, unless it is being released.
func TestObtainedAgain(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		first := f.lock("key")
		require.True(t, f.locks.At("key") == first)
		second := f.lock("key")
		require.True(t, isLost(first))
		f.will(unreached)
		require.Equal(t, kvdb.ErrNoConnection, second.Release(t.Context()))
		third := f.lock("key")
		require.False(t, isLost(second))
		f.will(notThere)
		require.Equal(t, kvdb.ErrInvalidLock, second.Release(t.Context()))
		require.True(t, f.locks.At("key") == third)
		f.will(done)
		require.NoError(t, third.Release(t.Context()))
		require.Nil(t, f.locks.At("key"))
		f.close()
	})
}

// A lock whose lease is kept alive together with others is released however late that is.
func TestReleaseMuchLater(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		l := f.locks.Add("key", 17, f.remove)
		f.will(unreached)
		require.Equal(t, kvdb.ErrNoConnection, l.Release(t.Context()))
		time.Sleep(time.Hour)
		f.will(done)
		time.Sleep(time.Second)
		require.NoError(t, l.Release(t.Context()))
		before := len(f.sent())
		time.Sleep(time.Hour)
		require.Len(t, f.sent(), before)
		f.close()
	})
}

// Empty is called when the last lock is lost or released.
func TestEmpty(t *testing.T) {
	test(t, func(t *testing.T, f *fake) {
		calls := 0
		f.locks.Empty = func() { calls++ }
		second, first := f.lock("second"), f.lock("first")
		require.Equal(t, []string{"first", "second"}, f.locks.Keys())
		require.NoError(t, first.Release(t.Context()))
		require.False(t, first.IsLost())
		require.Zero(t, calls)
		second.Lose()
		require.True(t, second.IsLost())
		require.Equal(t, 1, calls)
		require.Empty(t, f.locks.Keys())
		f.close()
	})
}
