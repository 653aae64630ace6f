package call

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb/driver"
)

// Pool is the endpoints of a store. It is safe for concurrent use.
type Pool[E comparable] struct {
	policy   Policy
	created  time.Time
	answered atomic.Int64 // when a request was answered last, after created
	inVain   atomic.Int64 // how long callers have waited since then who have given up

	mu        sync.Mutex // protects what is below
	endpoints []E        // the first one answers requests at present
	given     []string
}

// NewPool returns a pool without endpoints. Of the policy it needs Limit, Retries and
// Backoff, which is the wait between two rounds of all endpoints.
func NewPool[E comparable](policy Policy) *Pool[E] {
	p := &Pool[E]{policy: policy, created: time.Now()}
	p.policy.AttemptTimeout = AttemptTimeout
	p.policy.AtOnce = func(attempts int, _ error) bool { return attempts%len(p.All()) != 0 }
	return p
}

// Replace replaces the endpoints; there is at least one. Given is returned by
// Given.
func (p *Pool[E]) Replace(endpoints []E, given []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoints, p.given = slices.Clone(endpoints), slices.Clone(given)
}

// Given returns the endpoints as they were given.
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

// Current returns the endpoint that answers requests at present.
func (p *Pool[E]) Current() E {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endpoints[0]
}

// Avoid makes another endpoint the current one, if e is it.
func (p *Pool[E]) Avoid(e E) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endpoints[0] == e {
		p.endpoints = append(slices.Clone(p.endpoints[1:]), e)
	}
}

// Note remembers that the store has answered.
func (p *Pool[E]) Note() {
	p.answered.Store(int64(time.Since(p.created)))
	p.inVain.Store(0)
}

// Silence is the time since the store has answered.
func (p *Pool[E]) Silence() time.Duration {
	return time.Since(p.created) - time.Duration(p.answered.Load())
}

// Request is an Attempt that asks e.
type Request[E any] func(ctx context.Context, e E, begun func()) (Fate, error)

// Call makes a request of the endpoints: of the current one until that fails, then
// of the others in turn.
func (p *Pool[E]) Call(ctx context.Context, k Kind, send Request[E]) error {
	return p.policy.Do(ctx, k, func(ctx context.Context, begun func()) (Fate, error) {
		e := p.Current()
		began := time.Now()
		fate, err := send(ctx, e, begun)
		if err == nil || fate == Refused {
			p.Note()
			return fate, err
		}
		driver.AwaitEnd(ctx)
		if !driver.GivenUp(ctx) || p.isSilent(time.Since(began)) {
			p.Avoid(e)
		}
		return fate, err
	})
}

// isSilent adds to the time for which callers have waited in vain, and reports whether
// that is as long as one may wait. One who gives up says nothing about the endpoint, but
// callers who all have little time would never get to another.
func (p *Pool[E]) isSilent(waited time.Duration) bool {
	if p.inVain.Add(int64(waited)) < int64(AttemptTimeout) {
		return false
	}
	p.inVain.Store(0)
	return true
}

// headStart is how long First waits for an endpoint before it asks the next one
// as well.
const headStart = 250 * time.Millisecond

// First asks the endpoints side by side whether they serve, each one headStart
// after the one before, or at once when that has failed, and makes the first
// that does the current one. It goes on until ctx ends, unless all endpoints
// have refused.
func (p *Pool[E]) First(ctx context.Context, ask Request[E]) error {
	backoff := p.policy.Backoff
	var before error // of the last race that had its time
	for {
		refused, err := p.race(ctx, ask)
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

// race asks each endpoint once. It reports whether all have refused.
func (p *Pool[E]) race(ctx context.Context, ask Request[E]) (refused bool, err error) {
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
			asking.Go(func() {
				fate, err := p.policy.attempt(ctx, Repeatable, func(ctx context.Context, begun func()) (Fate, error) {
					return ask(ctx, e, begun)
				})
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

// prefer makes e the current endpoint, if it is one of them.
func (p *Pool[E]) prefer(e E) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.endpoints, e); i > 0 {
		p.endpoints = slices.Concat([]E{e}, p.endpoints[:i], p.endpoints[i+1:])
	}
}
