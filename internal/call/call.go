// Package call decides whether a request is sent again. No other code does: a
// backend only says what an error of its store's client means, which is a Fate.
package call

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// Fate is what became of a request that has failed.
type Fate int

const (
	// Refused: the store, or its client, looked at the request and said no. It is
	// not sent again. Its error is the error of the call.
	Refused Fate = iota
	// NotRun: it certainly did not run. It is sent again, until there are no more
	// retries or the context has ended. Then the error of the call is that of
	// driver.NotReached: kvdb.ErrNoConnection, unless the caller has given up.
	NotRun
	// Perhaps: it may have run. A request that is Repeatable is treated as one that
	// did not run. Any other is not sent again, and the error of the call wraps
	// kvdb.ErrUnknownOutcome.
	Perhaps
)

// Kind is how often a request may run.
type Kind int

const (
	// Once: a request that must not run twice.
	Once Kind = iota
	// Repeatable: a request that changes nothing, or may run twice without harm.
	Repeatable
)

// AttemptTimeout is the AttemptTimeout of stores with several endpoints.
const AttemptTimeout = 3 * time.Second

// Policy is how the requests of a store are sent.
type Policy struct {
	// Limit bounds each call; 0 leaves that to its context.
	Limit time.Duration
	// AttemptTimeout is how long an endpoint may take to begin its answer to a
	// Repeatable request, before that is sent again; 0 is as long as the call. With
	// Whole it is the time for all of the answer.
	AttemptTimeout time.Duration
	Whole          bool
	// Retries is how often a request is sent again at most.
	Retries int
	// Backoff is the wait between two attempts.
	Backoff retry.Backoff
	// AtOnce, which may be nil, reports whether no wait is needed after so many
	// attempts of which the last failed with err, because the next one asks
	// another endpoint.
	AtOnce func(attempts int, err error) bool
	// Ready, which may be nil, is called before each attempt. before is the error
	// of an earlier one, or nil. What Ready returns ends the call.
	Ready func(ctx context.Context, before error) error
}

// Attempt sends a request, and returns what became of it if there is an error. It calls
// begun when the answer begins, if it can tell.
type Attempt func(ctx context.Context, begun func()) (Fate, error)

// Do makes a request: send is called until it is answered or may not be sent
// again. The error is that of the last attempt that had its time, see Fate.
func (p *Policy) Do(ctx context.Context, k Kind, send Attempt) error {
	ctx, cancel := p.bounded(ctx)
	defer cancel()
	backoff := p.Backoff
	var before error
	for attempts := 1; ; attempts++ {
		if p.Ready != nil {
			if err := p.Ready(ctx, before); err != nil {
				return err
			}
		}
		fate, err := p.attempt(ctx, k, send)
		if err == nil || fate == Refused {
			return err
		}
		driver.AwaitEnd(ctx)
		if fate == Perhaps && k == Once {
			return fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, driver.WithCause(ctx, err))
		}
		if before == nil || !errors.Is(err, context.DeadlineExceeded) {
			before = err
		}
		isAtOnce := p.AtOnce != nil && p.AtOnce(attempts, err)
		if ctx.Err() != nil || attempts > p.Retries || !isAtOnce && backoff.Wait(ctx) != nil {
			return driver.NotReached(ctx, before)
		}
	}
}

// bounded returns a context that ends with ctx, and after the limit at most. It is ctx
// itself when the engine has bounded the call already.
func (p *Policy) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); p.Limit == 0 || ok && time.Until(deadline) <= p.Limit {
		return ctx, func() {}
	}
	return driver.WithTimeLimit(ctx, p.Limit)
}

// attempt calls send once.
func (p *Policy) attempt(ctx context.Context, k Kind, send Attempt) (Fate, error) {
	switch {
	case k == Once || p.AttemptTimeout == 0:
		return send(ctx, func() {})
	case p.Whole:
		ctx, cancel := driver.WithTimeLimit(ctx, p.AttemptTimeout)
		defer cancel()
		return send(ctx, func() {})
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(p.AttemptTimeout, func() { cancel(driver.ErrTimeLimit) })
	defer late.Stop()
	return send(ctx, func() { late.Stop() })
}
