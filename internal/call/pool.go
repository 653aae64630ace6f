package call

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb/driver"
)

// Endpoint is an endpoint of a store.
type Endpoint interface {
	comparable
	// String returns host:port.
	String() string
}

// Pool has the endpoints of a store, and prefers one that answers. It is safe for
// concurrent use.
type Pool[E Endpoint] struct {
	policy   Policy
	created  time.Time
	answered atomic.Int64 // when a request was last answered, as a time.Duration after created
	inVain   atomic.Int64 // the total time, since then, that callers waited before they gave up

	mu        sync.Mutex // protects the fields below
	endpoints []E        // the first one is the current one
	given     []string
}

// NewPool returns a pool without endpoints. It uses Limit, Retries, Backoff
// and the hooks of the policy. Backoff is the wait between two rounds of all endpoints.
func NewPool[E Endpoint](policy Policy) *Pool[E] {
	p := &Pool[E]{policy: policy, created: time.Now()}
	p.policy.AttemptTimeout = AttemptTimeout
	p.policy.AtOnce = func(attempts int, _ error) bool { return attempts%len(p.All()) != 0 }
	return p
}

// Replace replaces the endpoints, of which there must be at least one, and what Given
// returns.
func (p *Pool[E]) Replace(endpoints []E, given []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoints, p.given = slices.Clone(endpoints), slices.Clone(given)
}

// Given returns the endpoints as the caller wrote them.
func (p *Pool[E]) Given() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.given)
}

// All returns the endpoints.
func (p *Pool[E]) All() []E {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.endpoints)
}

// Current returns the endpoint that the next request is sent to.
func (p *Pool[E]) Current() E {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endpoints[0]
}

// Avoid makes another endpoint the current one if e is the current one.
func (p *Pool[E]) Avoid(e E) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endpoints[0] == e {
		p.endpoints = append(slices.Clone(p.endpoints[1:]), e)
	}
}

// Note records that the store has answered now.
func (p *Pool[E]) Note() {
	p.answered.Store(int64(time.Since(p.created)))
	p.inVain.Store(0)
}

// Silence returns the time since the store last answered.
func (p *Pool[E]) Silence() time.Duration {
	return time.Since(p.created) - time.Duration(p.answered.Load())
}

// Request is an Attempt that sends the request to e.
type Request[E any] func(ctx context.Context, e E, begun func()) (Fate, error)

// Call sends a request to the current endpoint, and if that fails to the others in turn.
func (p *Pool[E]) Call(ctx context.Context, k Kind, send Request[E]) error {
	return p.policy.Do(ctx, k, func(ctx context.Context, begun func()) (fmt.Stringer, Fate, error) {
		e := p.Current()
		began := time.Now()
		fate, err := send(ctx, e, begun)
		if err == nil || fate == Refused {
			p.Note()
			return e, fate, err
		}
		driver.AwaitEnd(ctx)
		if !driver.GivenUp(ctx) || p.isSilent(time.Since(began)) {
			p.Avoid(e)
		}
		return e, fate, err
	})
}

// Try sends a Repeatable request to e, once.
func (p *Pool[E]) Try(ctx context.Context, e E, send Request[E]) (Fate, error) {
	return p.try(ctx, 1, e, send)
}

func (p *Pool[E]) try(ctx context.Context, number int, e E, send Request[E]) (Fate, error) {
	return p.policy.attempt(ctx, number, Repeatable, func(ctx context.Context, begun func()) (fmt.Stringer, Fate, error) {
		fate, err := send(ctx, e, begun)
		return e, fate, err
	})
}

// isSilent adds waited to the time that callers waited before they gave up, and reports
// whether the total has reached AttemptTimeout. One caller's end shows nothing about the
// endpoint, but without the total callers that all have short deadlines would never try
// another endpoint.
func (p *Pool[E]) isSilent(waited time.Duration) bool {
	if p.inVain.Add(int64(waited)) < int64(AttemptTimeout) {
		return false
	}
	p.inVain.Store(0)
	return true
}

// headStart is the time that First waits for an endpoint before it asks the next one too.
const headStart = 250 * time.Millisecond

// First asks all endpoints whether they serve, and makes the first one that does the
// current one. It asks each endpoint headStart after the previous one, or at once if that
// has failed. It repeats this until ctx ends or all endpoints refuse.
func (p *Pool[E]) First(ctx context.Context, ask Request[E]) error {
	backoff := p.policy.Backoff
	var before error // of the last race that ctx did not cut short
	for rounds := 0; ; rounds++ {
		refused, err := p.race(ctx, rounds, ask)
		if err == nil || refused {
			return err
		}
		if before == nil || ctx.Err() == nil {
			before = err
		}
		if backoff.Wait(ctx) != nil {
			return driver.NotReached(ctx, before)
		}
	}
}

// race asks each endpoint once, after that many earlier rounds, and reports whether all have
// refused.
func (p *Pool[E]) race(ctx context.Context, rounds int, ask Request[E]) (refused bool, err error) {
	endpoints := p.All()
	type answer struct {
		endpoint E
		fate     Fate
		err      error
	}
	answers := make(chan answer, len(endpoints))
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := time.NewTimer(0)
	defer next.Stop()
	refused = true
	var errs []error
	for begun := 0; len(errs) < len(endpoints); {
		select {
		case <-next.C:
			if begun == len(endpoints) {
				continue
			}
			e := endpoints[begun]
			begun++
			number := rounds*len(endpoints) + begun
			asking.Go(func() {
				fate, err := p.try(ctx, number, e, ask)
				answers <- answer{e, fate, err}
			})
			next.Reset(headStart)
		case a := <-answers:
			if a.err == nil {
				p.prefer(a.endpoint)
				p.Note()
				return false, nil
			}
			refused = refused && a.fate == Refused
			errs = append(errs, a.err)
			next.Reset(0)
		}
	}
	return refused, errors.Join(errs...)
}

// prefer makes e the current endpoint, unless it was replaced.
func (p *Pool[E]) prefer(e E) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.endpoints, e); i > 0 {
		p.endpoints = slices.Concat([]E{e}, p.endpoints[:i], p.endpoints[i+1:])
	}
}
