// Package call decides whether a request is sent again. A backend does not decide that; it
// only classifies the errors of its store's client, as a Fate.
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

// Fate is the class of a failed request: whether it ran.
type Fate int

const (
	// Refused means that the store, or its client, rejected the request. It is not sent
	// again, and its error is the error of the call.
	Refused Fate = iota
	// NotRun means that the request certainly did not run. It is sent again until no
	// retries are left or the context ends. Then the error of the call is that of
	// driver.NotReached: kvdb.ErrNoConnection, unless the caller has given up.
	NotRun
	// Perhaps means that the request may have run. If it is Repeatable, it is treated like
	// NotRun. Otherwise it is not sent again, and the error of the call wraps
	// kvdb.ErrUnknownOutcome.
	Perhaps
)

// Kind is whether a request may run more than once.
type Kind int

const (
	// Once is a request that must not run twice.
	Once Kind = iota
	// Repeatable is a request that changes nothing, or has the same result if it runs
	// twice.
	Repeatable
)

// AttemptTimeout is the Policy.AttemptTimeout of stores with several endpoints.
const AttemptTimeout = 3 * time.Second

// Policy determines how the requests of a store are sent.
type Policy struct {
	// Limit bounds each call; if it is 0, only the call's context does.
	Limit time.Duration
	// AttemptTimeout is the time that an endpoint has to begin its answer to a Repeatable
	// request before the request is sent again; 0 means the time of the call. If Whole is
	// true, it is the time for the whole answer.
	AttemptTimeout time.Duration
	Whole          bool
	// Retries is the maximum number of times that a request is sent again.
	Retries int
	// Backoff is the wait between two attempts.
	Backoff retry.Backoff
	// AtOnce, which may be nil, reports whether the next attempt needs no wait, because it
	// asks another endpoint. attempts is the number of attempts so far, and err the error
	// of the last one.
	AtOnce func(attempts int, err error) bool
	// Ready, which may be nil, is called before each attempt. before is the error of an
	// earlier attempt, or nil. If Ready returns an error, the call ends with it.
	Ready func(ctx context.Context, before error) error
}

// Attempt sends a request, and returns its Fate if there is an error. It calls begun when
// the answer begins, if it can detect that.
type Attempt func(ctx context.Context, begun func()) (Fate, error)

// Do calls send until the request is answered or may not be sent again. The error is made
// from that of the last attempt that did not run out of time; see Fate.
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

// bounded returns a context that ends with ctx, or after p.Limit. It returns ctx itself if
// that ends within the limit, because the engine has bounded the call for example.
func (p *Policy) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); p.Limit == 0 || ok && time.Until(deadline) <= p.Limit {
		return ctx, func() {}
	}
	return driver.WithTimeLimit(ctx, p.Limit)
}

// attempt calls send once, with a time limit for the attempt if there is one.
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
