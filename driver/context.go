package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portworx/kvdb"
)

// The time limits of the stores that are servers. They are the same for all, so that a
// program need not know which one it uses.
const (
	// CallTimeout is the Profile.OpTimeout. The election of a leader, during which no
	// request is answered, fits in it with the tries before and after it, and a caller
	// can still wait for it.
	CallTimeout = 10 * time.Second
	// WatchTimeout is how long a watch goes on while no server answers. Restarts of
	// servers and elections are over by then; after it the program is told that it
	// misses events, by kvdb.ErrWatchStopped.
	WatchTimeout = 50 * time.Second
)

// ErrTimeLimit is the cause of the end of a context whose time limit was the
// library's own, not the caller's.
var ErrTimeLimit = errors.New("no answer in time")

// WithTimeLimit returns a context that ends with ctx, or with the cause
// ErrTimeLimit after limit.
func WithTimeLimit(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, ErrTimeLimit)
}

// GivenUp reports whether ctx has ended for another reason than a time limit of
// the library's own: the caller's deadline or cancellation, or Close.
func GivenUp(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrTimeLimit)
}

// AwaitEnd waits for the end of ctx if its deadline is over. What obeys the deadline
// by a timer of its own, as a dialer does, may fail just before ctx ends.
func AwaitEnd(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
}

// NotReached returns the error of a request that had no effect and whose last
// attempt failed with err, which may be nil. It wraps kvdb.ErrNoConnection
// unless the caller has given up: then nothing is known about the store.
func NotReached(ctx context.Context, err error) error {
	err = WithCause(ctx, err)
	if GivenUp(ctx) {
		return err
	}
	return fmt.Errorf("%w: %w", kvdb.ErrNoConnection, err)
}

// WithCause adds to err, which may be nil, why ctx ended, if it has: errors.Is
// then finds both the context's error and its cause. The context's own error is
// left out when not the caller ended it, but a time limit of the library's or
// Close.
func WithCause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	causes := []error{context.Cause(ctx)}
	if other, ok := causes[0].(inherited); ok {
		causes[0] = other.error
	} else if GivenUp(ctx) && !errors.Is(causes[0], ctx.Err()) && !errors.Is(causes[0], kvdb.ErrClosed) {
		causes = append(causes, ctx.Err())
	}
	for _, cause := range causes {
		switch {
		case err == nil:
			err = cause
		case !errors.Is(err, cause):
			err = fmt.Errorf("%w: %w", cause, err)
		}
	}
	return err
}

// inherited is the cause of a context that ends because another one has ended.
type inherited struct{ error }

func (i inherited) Unwrap() error { return i.error }

// EndOf returns the cause to cancel a context with because ctx has ended. WithCause
// then returns what it returns for ctx, a context.DeadlineExceeded for example,
// without the context.Canceled of the cancelled context.
func EndOf(ctx context.Context) error { return inherited{WithCause(ctx, nil)} }
