package driver

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// The error of a request shows whether the caller or the library ended its context,
// whichever context is nested in the other.
func TestErrorOfEndedContext(t *testing.T) {
	refused, reason := errors.New("refused"), errors.New("reason")
	past := time.Now().Add(-time.Second)
	for name, c := range map[string]struct {
		end     func(context.Context) (context.Context, context.CancelFunc)
		givenUp bool
		want    []error
	}{
		"another one's deadline with a cause": {
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				other, cancelOther := context.WithDeadlineCause(context.Background(), past, reason)
				defer cancelOther()
				ctx, cancel := context.WithCancelCause(ctx)
				cancel(EndOf(other))
				return ctx, func() {}
			}, true, []error{context.DeadlineExceeded, reason, refused},
		},
		"running": {
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				return WithTimeLimit(ctx, time.Hour)
			}, false, []error{kvdb.ErrNoConnection, refused},
		},
		"own limit": {
			func(ctx context.Context) (context.Context, context.CancelFunc) { return WithTimeLimit(ctx, 0) },
			false, []error{kvdb.ErrNoConnection, ErrTimeLimit, refused},
		},
		"caller's deadline": {
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithDeadline(ctx, past)
			}, true, []error{context.DeadlineExceeded, refused},
		},
		"caller's deadline with a cause, within an own limit": {
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithDeadlineCause(ctx, past, reason)
				inner, cancelInner := WithTimeLimit(ctx, time.Hour)
				return inner, func() { cancelInner(); cancel() }
			}, true, []error{context.DeadlineExceeded, reason, refused},
		},
		"cancelled": {
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				cancel(reason)
				return ctx, func() {}
			}, true, []error{context.Canceled, reason, refused},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := c.end(t.Context())
			defer cancel()
			require.Equal(t, c.givenUp, GivenUp(ctx))
			err := NotReached(ctx, refused)
			for _, want := range c.want {
				require.ErrorIs(t, err, want)
			}
			require.Equal(t, !c.givenUp, errors.Is(err, kvdb.ErrNoConnection))
			require.Equal(t, slices.Contains(c.want, context.Canceled), errors.Is(err, context.Canceled))
			if ctx.Err() != nil {
				for _, want := range c.want[:len(c.want)-1] {
					require.ErrorIs(t, NotReached(ctx, nil), want, "the error must have every cause except refused")
				}
				require.Equal(t, err.Error(), WithCause(ctx, err).Error(), "a cause is added only once")
			}
		})
	}
}
