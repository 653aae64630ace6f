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

// Close waits for the goroutines of Go, and Go starts none after Close.
func TestCloseWaitsForGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		require.True(t, g.Go(func() {
			<-g.Context().Done()
			require.Equal(t, kvdb.ErrClosed, context.Cause(g.Context()))
			require.NoError(t, g.Late().Err())
			require.False(t, g.Go(func() { t.Error("f runs after Close") }))
			time.Sleep(time.Second)
		}))
		began := time.Now()
		g.Close(t.Context())
		require.Equal(t, time.Second, time.Since(began))
		require.Error(t, g.Late().Err())
		require.False(t, g.Go(func() { t.Error("f runs after Close") }))
		_, err := g.Enter()
		require.Equal(t, kvdb.ErrClosed, err)
	})
}

// The context Late ends when the context of Close ends.
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

// Drain waits for calls, which may still start goroutines, and refuses new ones.
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

// Retry repeats f while it fails, whatever the error.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		errs := []error{kvdb.ErrNoConnection, errors.New("refused"), kvdb.ErrUnknownOutcome, nil}
		began := time.Now()
		require.NoError(t, g.Retry(time.Second, func(context.Context) error {
			require.GreaterOrEqual(t, time.Since(began), time.Second)
			err := errs[0]
			errs = errs[1:]
			return err
		}))
		require.Empty(t, errs)
		g.Close(t.Context())
	})
}

// During Close, Retry repeats f until Close ends, but not after a refusal.
func TestRetryDuringClose(t *testing.T) {
	for err, took := range map[error]time.Duration{
		kvdb.ErrNoConnection: time.Minute, kvdb.ErrUnknownOutcome: time.Minute, errors.New("refused"): 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			g := New()
			ctx, cancel := driver.WithTimeLimit(t.Context(), time.Minute)
			defer cancel()
			g.Go(func() {
				<-g.Context().Done()
				require.Equal(t, err, g.Retry(0, func(ctx context.Context) error {
					require.NoError(t, ctx.Err())
					return err
				}))
			})
			began := time.Now()
			g.Close(ctx)
			require.Equal(t, took, time.Since(began))
		})
	}
}

// The end of Close ends the delay of Retry.
func TestRetryLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		ctx, cancel := driver.WithTimeLimit(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		g.Go(func() {
			require.Equal(t, kvdb.ErrNoConnection, g.Retry(time.Hour, func(context.Context) error { return kvdb.ErrNoConnection }))
		})
		g.Close(ctx)
		require.Equal(t, time.Second, time.Since(began))
	})
}
