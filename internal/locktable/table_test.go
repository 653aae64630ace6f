package locktable

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tokens returns fencing tokens as a store does.
type tokens struct{ last atomic.Uint64 }

func (t *tokens) next(context.Context) (uint64, error) { return t.last.Add(1), nil }

func newSession() (*Table, *Session) {
	table := New()
	return table, table.NewSession(new(tokens).next)
}

// obtained is the result of a call of Lock.
type obtained struct {
	owner string
	lease driver.Lease
	err   error
}

// lockLater calls Lock on a goroutine, and returns when the call waits.
func lockLater(ctx context.Context, s *Session, key, owner string, wait time.Duration) <-chan obtained {
	c := make(chan obtained, 1)
	go func() {
		lease, err := s.Lock(ctx, key, owner, wait)
		c <- obtained{owner, lease, err}
	}()
	synctest.Wait()
	return c
}

func lockNow(t *testing.T, s *Session, key, owner string) driver.Lease {
	t.Helper()
	lease, err := s.Lock(t.Context(), key, owner, 0)
	require.NoError(t, err)
	return lease
}

func requireHeldBy(t *testing.T, err error, owner string) {
	t.Helper()
	var held *driver.HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, owner, held.Owner)
}

func isLost(l driver.Lease) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

func TestOneHolder(t *testing.T) {
	table, s := newSession()
	_, held := table.Owner("k")
	require.False(t, held)

	lease := lockNow(t, s, "k", "first")
	owner, held := table.Owner("k")
	require.True(t, held)
	require.Equal(t, "first", owner)
	_, err := s.Lock(t.Context(), "k", "second", 0)
	requireHeldBy(t, err, "first")
	lockNow(t, s, "other", "second") // keys do not interfere

	require.NoError(t, lease.Release(t.Context()))
	require.Equal(t, kvdb.ErrInvalidLock, lease.Release(t.Context()))
	_, held = table.Owner("k")
	require.False(t, held)

	again := lockNow(t, s, "k", "second")
	require.Greater(t, again.Token(), lease.Token())
	require.Equal(t, kvdb.ErrInvalidLock, lease.Release(t.Context()), "a released lease does not release the next holder's lock")
	owner, _ = table.Owner("k")
	require.Equal(t, "second", owner)
	require.False(t, isLost(lease), "a released lock is not lost")
}

// Waiters of several sessions get the lock in the order of their calls, each at the release
// of the previous one.
func TestWaitersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New()
		source := new(tokens)
		sessions := []*Session{table.NewSession(source.next), table.NewSession(source.next)}
		holder := lockNow(t, sessions[0], "k", "holder")
		var waiting []<-chan obtained
		for i := range 10 {
			waiting = append(waiting, lockLater(t.Context(), sessions[i%2], "k", fmt.Sprint(i), time.Hour))
		}
		began := time.Now()
		for i, c := range waiting {
			synctest.Wait()
			require.Empty(t, c)
			require.NoError(t, holder.Release(t.Context()))
			got := <-c
			require.NoError(t, got.err)
			require.Equal(t, fmt.Sprint(i), got.owner)
			require.Greater(t, got.lease.Token(), holder.Token())
			holder = got.lease
		}
		require.Zero(t, time.Since(began), "waiters are woken by releases, not by timers")
		require.NoError(t, holder.Release(t.Context()))
		require.Empty(t, table.locks)
	})
}

func TestWaitIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, s := newSession()
		holder := lockNow(t, s, "k", "holder")
		began := time.Now()
		early := lockLater(t.Context(), s, "k", "early", time.Minute)
		late := lockLater(t.Context(), s, "k", "late", time.Hour)
		got := <-early
		requireHeldBy(t, got.err, "holder")
		require.Equal(t, time.Minute, time.Since(began))
		require.NoError(t, holder.Release(t.Context()))
		require.NoError(t, (<-late).err, "a waiter that gave up is skipped")
		owner, _ := table.Owner("k")
		require.Equal(t, "late", owner)
	})
}

func TestCancelledWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newSession()
		cause := errors.New("cancelled by the test")
		ctx, cancel := context.WithCancelCause(t.Context())
		holder := lockNow(t, s, "k", "holder")
		cancelled := lockLater(ctx, s, "k", "cancelled", time.Hour)
		next := lockLater(t.Context(), s, "k", "next", time.Hour)
		cancel(cause)
		_, err := s.Lock(ctx, "free", "cancelled", time.Hour)
		for _, err := range []error{err, (<-cancelled).err} {
			require.ErrorIs(t, err, cause)
			require.ErrorIs(t, err, context.Canceled)
		}
		require.NoError(t, holder.Release(t.Context()))
		require.NoError(t, (<-next).err)
	})
}

// A waiter whose context or wait ends when it is granted the lock either takes the lock or
// passes it on.
func TestGrantAtEndOfWait(t *testing.T) {
	cause := errors.New("cancelled by the test")
	for name, c := range map[string]struct {
		wait time.Duration
		end  func(cancel context.CancelCauseFunc)
		err  error
	}{
		"cancelled":    {time.Hour, func(cancel context.CancelCauseFunc) { cancel(cause) }, cause},
		"wait is over": {time.Minute, func(context.CancelCauseFunc) { time.Sleep(time.Minute) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table, s := newSession()
				lockNow(t, s, "k", "holder")
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				waiter := lockLater(ctx, s, "k", "waiter", c.wait)
				next := lockLater(t.Context(), s, "k", "next", time.Hour)
				// The end of its wait wakes the waiter. The grant comes before the waiter
				// can lock the table.
				table.mu.Lock()
				c.end(cancel)
				table.pass("k")
				table.mu.Unlock()
				got := <-waiter
				require.ErrorIs(t, got.err, c.err)
				if got.err == nil {
					require.NoError(t, got.lease.Release(t.Context()))
				}
				last := <-next
				require.NoError(t, last.err)
				require.NoError(t, last.lease.Release(t.Context()))
				require.Empty(t, table.locks)
			})
		})
	}
}

func TestSessionClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New()
		source := new(tokens)
		closing, other := table.NewSession(source.next), table.NewSession(source.next)
		mine := []driver.Lease{lockNow(t, closing, "a", "closing"), lockNow(t, closing, "b", "closing")}
		released := lockNow(t, closing, "c", "closing")
		require.NoError(t, released.Release(t.Context()))
		theirs := lockNow(t, other, "d", "other")
		waiter := lockLater(t.Context(), other, "a", "other", time.Hour)

		closing.Close()
		got := <-waiter
		require.NoError(t, got.err)
		for _, l := range mine {
			require.True(t, isLost(l))
			require.Equal(t, kvdb.ErrInvalidLock, l.Release(t.Context()))
		}
		require.False(t, isLost(released))
		require.False(t, isLost(theirs))
		owner, _ := table.Owner("a")
		require.Equal(t, "other", owner, "the late releases do not release the next holder's lock")
		_, held := table.Owner("b")
		require.False(t, held)

		_, err := closing.Lock(t.Context(), "e", "closing", 0)
		require.Equal(t, kvdb.ErrClosed, err)
		_, held = table.Owner("e")
		require.False(t, held)
		closing.Close()
	})
}

// The loss of a lock is reported before another session can obtain it.
func TestCloseReportsLossFirst(t *testing.T) {
	table, s := newSession()
	l := lockNow(t, s, "k", "me")
	table.mu.Lock() // no lock is released while this is held
	closed := make(chan struct{})
	go func() { s.Close(); close(closed) }()
	select {
	case <-l.Lost():
	case <-time.After(20 * time.Second):
		t.Error("the lock was released before the loss was reported")
	}
	table.mu.Unlock()
	<-closed
}

// A lock that is granted to a session that was closed meanwhile is passed to the next
// waiter.
func TestGrantToClosedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New()
		closing, other := table.NewSession(new(tokens).next), table.NewSession(new(tokens).next)
		holder := lockNow(t, other, "k", "holder")
		waiter := lockLater(t.Context(), closing, "k", "waiter", time.Hour)
		next := lockLater(t.Context(), other, "k", "next", time.Hour)
		closing.Close()
		require.NoError(t, holder.Release(t.Context()))
		require.Equal(t, kvdb.ErrClosed, (<-waiter).err)
		require.NoError(t, (<-next).err)
	})
}

// A lock is not held if there is no token for it.
func TestNoToken(t *testing.T) {
	table := New()
	broken := errors.New("no token")
	s := table.NewSession(func(context.Context) (uint64, error) { return 0, broken })
	_, err := s.Lock(t.Context(), "k", "me", 0)
	require.Equal(t, broken, err)
	require.Empty(t, table.locks)
}

func TestHeld(t *testing.T) {
	table, s := newSession()
	other := table.NewSession(new(tokens).next)
	a, b, theirs := lockNow(t, s, "a", "me"), lockNow(t, s, "b", "me"), lockNow(t, other, "c", "them")
	calls := 0
	refused := errors.New("refused")
	f := func() error { calls++; return refused }
	require.Equal(t, refused, s.Held(nil, f))
	require.Equal(t, refused, s.Held([]driver.Lease{a, b, a}, f))
	require.Equal(t, 2, calls)

	require.Equal(t, kvdb.ErrInvalidLock, s.Held([]driver.Lease{a, theirs}, f))
	require.NoError(t, b.Release(t.Context()))
	require.Equal(t, kvdb.ErrInvalidLock, s.Held([]driver.Lease{a, b}, f))
	s.Close()
	require.Equal(t, kvdb.ErrInvalidLock, s.Held([]driver.Lease{a}, f))
	require.Equal(t, 2, calls, "f is called only if all locks are held")
}

// No lock is released while Held runs its function.
func TestHeldKeepsTheLock(t *testing.T) {
	_, s := newSession()
	lease := lockNow(t, s, "k", "me")
	var inside atomic.Bool
	released := make(chan bool, 1)
	require.NoError(t, s.Held([]driver.Lease{lease}, func() error {
		inside.Store(true)
		defer inside.Store(false)
		go func() {
			err := lease.Release(context.Background())
			released <- err == nil && !inside.Load()
		}()
		for range 1000 {
			runtime.Gosched() // lets a Release that does not wait return
		}
		return nil
	}))
	require.True(t, <-released)
}

// A Release whose context ends while Held runs takes effect after Held, and no other call
// of Held begins before.
func TestReleaseAfterHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, s := newSession()
		l := lockNow(t, s, "k", "me")
		end := make(chan struct{})
		for range 2 {
			go func() { _ = s.Held([]driver.Lease{l}, func() error { <-end; return nil }) }()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, l.Release(ctx), context.DeadlineExceeded)
		require.Equal(t, kvdb.ErrInvalidLock, s.Held([]driver.Lease{l}, func() error { return nil }))
		end <- struct{}{}
		synctest.Wait()
		_, held := table.Owner("k")
		require.True(t, held)
		close(end)
		synctest.Wait()
		_, held = table.Owner("k")
		require.False(t, held)
		require.NoError(t, l.Release(t.Context()))
	})
}

// A session that is being closed refuses calls of Held.
func TestCloseWhileHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, s := newSession()
		l := lockNow(t, s, "k", "me")
		end := make(chan struct{})
		go func() { _ = s.Held([]driver.Lease{l}, func() error { <-end; return nil }) }()
		synctest.Wait()
		go s.Close()
		synctest.Wait()
		require.Equal(t, kvdb.ErrInvalidLock, s.Held([]driver.Lease{l}, func() error { return nil }))
		_, held := table.Owner("k")
		require.True(t, held, "the lock is held until Held returns")
		require.False(t, isLost(l))
		close(end)
		synctest.Wait()
		<-l.Lost()
		_, held = table.Owner("k")
		require.False(t, held)
	})
}

// At most one session holds the lock at a time, while many obtain it and give up, and
// tokens grow.
func TestExclusion(t *testing.T) {
	table := New()
	source := new(tokens)
	var holders atomic.Int32
	var last atomic.Uint64
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			s := table.NewSession(source.next)
			defer s.Close()
			for i := range 300 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%5)*100*time.Microsecond)
				lease, err := s.Lock(ctx, "k", fmt.Sprint(n), time.Duration(i%3)*time.Millisecond)
				cancel()
				if err != nil {
					continue
				}
				if holders.Add(1) != 1 {
					t.Error("two holders")
				}
				if before := last.Swap(lease.Token()); before >= lease.Token() {
					t.Errorf("token %d after %d", lease.Token(), before)
				}
				holders.Add(-1)
				if i%7 == 0 {
					s.Close() // also releases the lock
					s = table.NewSession(source.next)
				} else if err := lease.Release(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	require.NotZero(t, last.Load())
	require.Empty(t, table.locks)
}
