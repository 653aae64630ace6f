package retry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBackoffGrowsToItsMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Backoff{Min: 100 * time.Millisecond, Max: time.Second}
		waited := func() time.Duration {
			start := time.Now()
			require.NoError(t, b.Wait(t.Context()))
			return time.Since(start)
		}
		for _, longest := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			longest *= time.Millisecond
			w := waited()
			require.LessOrEqual(t, w, longest)
			require.GreaterOrEqual(t, w, longest/2)
		}
		b.Reset()
		require.LessOrEqual(t, waited(), b.Min)
	})
}

func TestBackoffObeysContext(t *testing.T) {
	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	b := Backoff{Min: time.Hour, Max: time.Hour}
	require.Equal(t, cause, b.Wait(ctx))
}
