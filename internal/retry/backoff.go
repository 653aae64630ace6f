// Package retry is the one place where the library waits before it tries again.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is a sequence of growing, jittered waits. It is for one goroutine.
type Backoff struct {
	// Min is the first wait, Max the longest; each is cut by up to half at
	// random, so that clients that failed together do not come back together.
	Min, Max time.Duration

	next time.Duration
}

// Wait waits, twice as long as the last time, or returns context.Cause(ctx)
// when ctx ends first.
func (b *Backoff) Wait(ctx context.Context) error {
	b.next = min(max(2*b.next, b.Min), b.Max)
	timer := time.NewTimer(b.next - rand.N(b.next/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reset makes the next wait the first one again.
func (b *Backoff) Reset() { b.next = 0 }
