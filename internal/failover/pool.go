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
	"github.com/portworx/kvdb/internal/retry"
)

// AttemptTimeout is how long one endpoint may take to begin its answer to a
// request that may be repeated, before another one is asked.
const AttemptTimeout = 3 * time.Second

// ErrNoAnswer is the cause of the end of a request that took too long.
var ErrNoAnswer = errors.New("no answer in time")

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
func (p *Pool[E]) Note() { p.answered.Store(int64(time.Since(p.created))) }

// Silence is the time since the store has answered.
func (p *Pool[E]) Silence() time.Duration {
	return time.Since(p.created) - time.Duration(p.answered.Load())
}

// Attempt makes one request of e, and tells whether it got a connection. It
// calls begun when the answer begins.
type Attempt[E any] func(ctx context.Context, e E, begun func()) (sent bool, err error)

// Call makes a request of the endpoints, until one has answered or ctx ends. An
// answer that is an error is returned as it is.
func (p *Pool[E]) Call(ctx context.Context, k Kind, f Attempt[E]) error {
	backoff := p.backoff
	var before error // of the last attempt that had its time
	for try := 1; ; try++ {
		e, n := p.Current()
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
		if !givenUp(ctx) {
			p.Avoid(e)
		}
		if fate == Perhaps && k == Once {
			return fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, withCause(ctx, err))
		}
		if before == nil || !errors.Is(err, context.DeadlineExceeded) {
			before = err
		}
		if ctx.Err() != nil || try > p.retries || try%n == 0 && backoff.Wait(ctx) != nil {
			return NotReached(ctx, before)
		}
	}
}

func attempt[E any](ctx context.Context, k Kind, e E, f Attempt[E]) (sent bool, err error) {
	if k == Once {
		return f(ctx, e, func() {})
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(AttemptTimeout, func() { cancel(ErrNoAnswer) })
	defer late.Stop()
	return f(ctx, e, func() { late.Stop() })
}

// givenUp tells whether the caller has, and not the time for a call.
func givenUp(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// NotReached is the error of a request that had no effect. When it was the
// caller who gave up, that is all that is known; but the end of time means that
// the store did not answer.
func NotReached(ctx context.Context, err error) error {
	if givenUp(ctx) {
		return withCause(ctx, err)
	}
	return fmt.Errorf("%w: %w", kvdb.ErrNoConnection, withCause(ctx, err))
}

// withCause adds to an error why the caller's context ended, if it has.
func withCause(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}
