package life

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Close waits for what Go has started, and Go starts nothing after it.
func TestCloseWaitsForGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		require.True(t, g.Go(func() {
			<-g.Context().Done()
			require.Equal(t, kvdb.ErrClosed, context.Cause(g.Context()))
			require.NoError(t, g.Late().Err())
			require.False(t, g.Go(func() { t.Error("it runs") }))
			time.Sleep(time.Second)
		}))
		began := time.Now()
		g.Close(t.Context())
		require.Equal(t, time.Second, time.Since(began))
		require.Error(t, g.Late().Err())
		require.False(t, g.Go(func() { t.Error("it runs") }))
		_, err := g.Enter()
		require.Equal(t, kvdb.ErrClosed, err)
	})
}

// Work that is late ends when Close has no time left.
func TestCloseEndsLateWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		g.Go(func() {
			<-g.Late().Done()
			require.Equal(t, driver.ErrTimeLimit, context.Cause(g.Late()))
		})
		ctx, cancel := driver.WithTimeLimit(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		g.Close(ctx)
		require.Equal(t, time.Second, time.Since(began))
	})
}

// Drain waits for calls, which may still start goroutines, and lets none begin.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		leave, err := g.Enter()
		require.NoError(t, err)
		drained := make(chan struct{})
		go func() { g.Drain(); close(drained) }()
		synctest.Wait()
		_, err = g.Enter()
		require.Equal(t, kvdb.ErrClosed, err)
		require.NoError(t, g.Context().Err())
		ran := false
		require.True(t, g.Go(func() { ran = true }))
		select {
		case <-drained:
			t.Error("a call has not ended")
		default:
		}
		leave()
		<-drained
		g.Close(t.Context())
		require.True(t, ran)
	})
}

// Retry goes on while the store cannot be reached, for as long as it may.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, refused := New(), errors.New("refused")
		for last, want := range map[error]error{nil: nil, refused: refused} {
			errs := []error{kvdb.ErrNoConnection, kvdb.ErrUnknownOutcome, last}
			began := time.Now()
			require.Equal(t, want, Retry(t.Context(), time.Second, func(context.Context) error {
				require.GreaterOrEqual(t, time.Since(began), time.Second)
				err := errs[0]
				errs = errs[1:]
				return err
			}))
			require.Empty(t, errs)
		}
		ctx, cancel := driver.WithTimeLimit(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		require.Equal(t, kvdb.ErrNoConnection, Retry(ctx, 0, func(ctx context.Context) error {
			require.NoError(t, ctx.Err())
			return kvdb.ErrNoConnection
		}))
		require.Equal(t, time.Minute, time.Since(began))
		g.Go(func() {
			began := time.Now()
			require.Equal(t, kvdb.ErrNoConnection, Retry(g.Late(), time.Hour, func(context.Context) error { return kvdb.ErrNoConnection }))
			require.Equal(t, time.Second, time.Since(began))
		})
		ctx, cancel = driver.WithTimeLimit(t.Context(), time.Second)
		defer cancel()
		g.Close(ctx)
	})
}
