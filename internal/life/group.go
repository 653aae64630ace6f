// Package life tracks the goroutines of an instance, so that its Close waits for them.
package life

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// Group tracks the goroutines of an instance, and those of its calls that may start
// goroutines.
type Group struct {
	ctx     context.Context
	end     context.CancelCauseFunc
	late    context.Context
	endLate context.CancelCauseFunc

	mu         sync.Mutex // protects the fields below, and orders Enter and Go before or after Close
	draining   bool       // Enter refuses calls
	closed     bool       // Go starts nothing
	calls      sync.WaitGroup
	goroutines sync.WaitGroup
}

// New returns a group that Close ends.
func New() *Group {
	g := &Group{}
	g.ctx, g.end = context.WithCancelCause(context.Background())
	g.late, g.endLate = context.WithCancelCause(context.Background())
	return g
}

// Context returns a context that ends with the cause kvdb.ErrClosed when Close begins.
func (g *Group) Context() context.Context { return g.ctx }

// Late returns a context for work that continues after its call, and during Close. It ends
// when the context of Close ends, or when Close returns.
func (g *Group) Late() context.Context { return g.late }

// Go runs f on a goroutine that Close waits for. After Close it does not run f, and returns
// false.
func (g *Group) Go(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.goroutines.Go(f)
	return true
}

// Retry runs f after delay, and again after growing pauses while it fails, until Late ends.
// It retries after a refusal too, because a later attempt may be allowed, but not after
// Close has begun, because Close would wait in vain. Retry returns the last error.
func (g *Group) Retry(delay time.Duration, f func(context.Context) error) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.late.Done():
	}
	backoff := retry.Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	for {
		err := f(g.late)
		isOutage := errors.Is(err, kvdb.ErrNoConnection) || errors.Is(err, kvdb.ErrUnknownOutcome)
		if err == nil || !isOutage && g.ctx.Err() != nil || backoff.Wait(g.late) != nil {
			return err
		}
	}
}

// Enter begins a call that may start a goroutine. The caller must call leave at the end of
// the call. After Drain the error is kvdb.ErrClosed.
func (g *Group) Enter() (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		return nil, kvdb.ErrClosed
	}
	g.calls.Add(1)
	return g.calls.Done, nil
}

// Drain makes Enter refuse calls, and waits for those that have begun, whose contexts must
// have ended.
func (g *Group) Drain() {
	g.mu.Lock()
	g.draining = true
	g.mu.Unlock()
	g.calls.Wait()
}

// Close ends Context, and waits for the goroutines. It ends Late when ctx ends.
func (g *Group) Close(ctx context.Context) {
	g.mu.Lock()
	g.draining, g.closed = true, true
	g.mu.Unlock()
	g.end(kvdb.ErrClosed)
	stop := context.AfterFunc(ctx, func() { g.endLate(driver.ErrTimeLimit) })
	defer stop()
	g.goroutines.Wait()
	g.endLate(kvdb.ErrClosed)
}
