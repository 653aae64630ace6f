package held

import (
	"sync"
	"time"
)

// Expiry is the local clock of a lease that requests keep alive. The store must not end the
// lease earlier than a TTL after it received the last such request, so the lease lasts at
// least a TTL after that request was sent.
type Expiry struct {
	limit time.Duration
	lose  func()

	mu      sync.Mutex  // protects the fields below
	sent    time.Time   // when the last answered request was sent
	timer   *time.Timer // runs lose at limit after sent
	stopped bool
}

// NewExpiry returns the clock of a lease. It runs lose when margin is left of the TTL. It
// starts with the first Renewed.
func NewExpiry(ttl, margin time.Duration, lose func()) *Expiry {
	return &Expiry{limit: ttl - margin, lose: lose}
}

// Renewed records that a request that obtained the lease, or keeps it alive, was answered.
// sent is the time at which it was sent.
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

// Stop stops the clock. lose does not run afterwards, unless it has begun.
func (e *Expiry) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	if e.timer != nil {
		e.timer.Stop()
	}
}
