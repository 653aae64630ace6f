// Package retry implements the waits between retries.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is a sequence of growing, jittered waits. It is not for concurrent use.
type Backoff struct {
	// Min is the first wait, and Max the longest. A random part of up to half is taken
	// off each wait, so that clients that failed together do not retry together.
	Min, Max time.Duration

	next time.Duration
}

// Wait waits twice as long as the last time. If ctx ends first, it returns
// context.Cause(ctx).
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
