package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portworx/kvdb"
)

// Time limits of the stores that are servers. They are the same for all, so that a program
// need not know which store it uses.
const (
	// CallTimeout is the Profile.OpTimeout. It is long enough for the election of a leader,
	// during which no request is answered, with the attempts before and after it, and short
	// enough for a caller to wait.
	CallTimeout = 10 * time.Second
	// WatchTimeout is how long a watch continues while no server answers. It is longer than
	// restarts of servers and elections take. Then the watch ends with
	// kvdb.ErrWatchStopped, so that the program knows that it misses events.
	WatchTimeout = 50 * time.Second
)

// ErrTimeLimit is the cause of a context that a time limit of the library has ended, and
// not the caller's.
var ErrTimeLimit = errors.New("no answer in time")

// WithTimeLimit returns a context that ends with ctx, or with the cause
// ErrTimeLimit after limit.
func WithTimeLimit(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, ErrTimeLimit)
}

// GivenUp reports whether ctx has ended by the caller's deadline or cancellation, or by
// Close, and not by a time limit of the library.
func GivenUp(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrTimeLimit)
}

// AwaitEnd waits for the end of ctx if its deadline is over. Code with a timer of its own
// for the deadline, such as a dialer, may fail just before ctx ends.
func AwaitEnd(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
}

// NotReached returns the error of a request that had no effect and whose last attempt
// failed with err, which may be nil. It wraps kvdb.ErrNoConnection unless the caller has
// given up, because then nothing is known about the store.
func NotReached(ctx context.Context, err error) error {
	err = WithCause(ctx, err)
	if GivenUp(ctx) {
		return err
	}
	return fmt.Errorf("%w: %w", kvdb.ErrNoConnection, err)
}

// WithCause returns err, which may be nil, while ctx has not ended. Afterwards it adds the
// cause of the end, so that errors.Is finds the cause and ctx.Err(). It leaves ctx.Err()
// out if a time limit of the library or Close has ended ctx, and not the caller.
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

// EndOf returns a cause for cancelling another context because ctx has ended. For that
// context WithCause then returns what it returns for ctx, a context.DeadlineExceeded for
// example, without a context.Canceled.
func EndOf(ctx context.Context) error { return inherited{WithCause(ctx, nil)} }
