package held

import (
	"sync"
	"time"
)

// Expiry is the local clock of a lease that is kept alive. It is for leases that the
// store does not end sooner than a TTL after it took the last request that keeps them
// alive, which is not before that request was sent.
type Expiry struct {
	limit time.Duration
	lose  func()

	mu      sync.Mutex  // protects what is below
	sent    time.Time   // when the last request was sent that was answered
	timer   *time.Timer // runs lose at limit after sent
	stopped bool
}

// NewExpiry returns the clock of a lease, which runs lose at margin before the end of
// the TTL. It begins to run with Renewed.
func NewExpiry(ttl, margin time.Duration, lose func()) *Expiry {
	return &Expiry{limit: ttl - margin, lose: lose}
}

// Renewed moves the end on: a request that keeps the lease alive, or has begun it, was
// sent at that time and was answered.
func (e *Expiry) Renewed(sent time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped || !sent.After(e.sent) {
		return
	}
	e.sent = sent
	left := time.Until(sent.Add(e.limit))
	if e.timer == nil {
		e.timer = time.AfterFunc(left, e.lose)
		return
	}
	e.timer.Reset(left)
}

// Stop ends the clock without running lose, unless that has begun.
func (e *Expiry) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	if e.timer != nil {
		e.timer.Stop()
	}
}
