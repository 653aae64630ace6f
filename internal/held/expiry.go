package held

import (
	"sync"
	"time"
)

// Times are the time limits of a lease.
type Times struct {
	// TTL is the time that the lease lasts after a request that keeps it alive.
	TTL time.Duration
	// Margin is the time before the end of the lease at which its locks are lost by the local
	// clock. Its share of the TTL is how much faster the store's clock may run.
	Margin time.Duration
	// Every is the time between two requests.
	Every time.Duration
}

// Fit returns t for a lease with another TTL. The margin and the time between two requests
// keep their shares of it, but there is a request every slowest at least.
func (t Times) Fit(ttl time.Duration) Times {
	share := float64(ttl) / float64(t.TTL)
	return Times{
		TTL: ttl, Margin: time.Duration(share * float64(t.Margin)),
		Every: min(time.Duration(share*float64(t.Every)), slowest),
	}
}

// slowest is the longest time between two requests that keep a lease alive, so that its holder
// soon learns that the store has ended it.
const slowest = 10 * time.Second

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

// NewExpiry returns the clock of a lease. It runs lose when the margin is left of the TTL. It
// starts with the first Renewed.
func NewExpiry(t Times, lose func()) *Expiry {
	return &Expiry{limit: t.TTL - t.Margin, lose: lose}
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
