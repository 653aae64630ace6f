// Package failover makes requests of a store that has several endpoints: of the
// same one until that fails. Here alone is decided whether a request is sent
// again.
package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// AttemptTimeout is how long one endpoint may take to begin its answer to a
// request that may be repeated, before another one is asked.
const AttemptTimeout = 3 * time.Second

// Kind is how often a request may be sent.
type Kind int

const (
	// Once: sent again only when it has certainly not run.
	Once Kind = iota
	// Repeatable: it changes nothing, or running twice does no harm.
	Repeatable
)

// Fate is what an error tells about the request.
type Fate int

const (
	Refused Fate = iota // the store looked at it and said no
	NotRun              // it certainly did not run; another try may do better
	Perhaps             // it may have run
)

// Pool is the endpoints of a store. It is safe for concurrent use.
type Pool[E comparable] struct {
	fateOf   func(err error, sent bool) Fate
	backoff  retry.Backoff // between two rounds of all endpoints
	retries  int
	created  time.Time
	answered atomic.Int64 // when a request was answered last, after created
	inVain   atomic.Int64 // how long callers have waited since then who have given up

	mu        sync.Mutex // protects what is below
	endpoints []E        // the first one answers requests at present
	given     []string
}

// New returns a pool without endpoints. fateOf classifies the error of a
// request; sent tells it whether that got a connection. A request is sent again
// up to retries times.
func New[E comparable](fateOf func(err error, sent bool) Fate, backoff retry.Backoff, retries int) *Pool[E] {
	return &Pool[E]{fateOf: fateOf, backoff: backoff, retries: retries, created: time.Now()}
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

// Current returns the endpoint that answers requests at present, and how many
// there are.
func (p *Pool[E]) Current() (E, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endpoints[0], len(p.endpoints)
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

// Attempt makes one request of e, and reports whether it got a connection. It
// calls begun when the answer begins.
type Attempt[E any] func(ctx context.Context, e E, begun func()) (sent bool, err error)

// Call makes a request of the endpoints, until one has answered or ctx ends. An
// answer that is an error is returned as it is.
func (p *Pool[E]) Call(ctx context.Context, k Kind, f Attempt[E]) error {
	backoff := p.backoff
	var before error // of the last attempt that had its time
	for try := 1; ; try++ {
		e, n := p.Current()
		began := time.Now()
		sent, err := attempt(ctx, k, e, f)
		if err == nil {
			p.Note()
			return nil
		}
		fate := p.fateOf(err, sent)
		if fate == Refused {
			p.Note()
			return err
		}
		driver.AwaitEnd(ctx)
		if !driver.GivenUp(ctx) || p.isSilent(time.Since(began)) {
			p.Avoid(e)
		}
		if fate == Perhaps && k == Once {
			return fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, driver.WithCause(ctx, err))
		}
		if before == nil || !errors.Is(err, context.DeadlineExceeded) {
			before = err
		}
		if ctx.Err() != nil || try > p.retries || try%n == 0 && backoff.Wait(ctx) != nil {
			return driver.NotReached(ctx, before)
		}
	}
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

func attempt[E any](ctx context.Context, k Kind, e E, f Attempt[E]) (sent bool, err error) {
	if k == Once {
		return f(ctx, e, func() {})
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(AttemptTimeout, func() { cancel(driver.ErrTimeLimit) })
	defer late.Stop()
	return f(ctx, e, func() { late.Stop() })
}

// headStart is how long First waits for an endpoint before it asks the next one
// as well.
const headStart = 250 * time.Millisecond

// First asks the endpoints side by side whether they serve, each one headStart
// after the one before, or at once when that has failed, and makes the first
// that does the current one. It goes on until ctx ends, unless all endpoints
// have refused.
func (p *Pool[E]) First(ctx context.Context, ask Attempt[E]) error {
	backoff := p.backoff
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
func (p *Pool[E]) race(ctx context.Context, ask Attempt[E]) (refused bool, err error) {
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
				sent, err := attempt(ctx, Repeatable, e, ask)
				a := answer{endpoint: e, err: err}
				if err != nil {
					a.fate = p.fateOf(err, sent)
				}
				answers <- a
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
