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
	// Hooks, which may be nil, observe each attempt, as one of the store Backend.
	Hooks   *driver.Hooks
	Backend string
}

// Attempt sends a request. It returns the server that it has sent it to, nil if it has
// chosen none, and the Fate of the request if there is an error. String of the server is
// host:port. It calls begun when the answer begins, if it can detect that.
type Attempt func(ctx context.Context, begun func()) (server fmt.Stringer, fate Fate, err error)

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
		fate, err := p.attempt(ctx, attempts, k, send)
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

// Address is a server, as host:port.
type Address string

// String implements fmt.Stringer.
func (a Address) String() string { return string(a) }

// Try calls send once.
func (p *Policy) Try(ctx context.Context, k Kind, send Attempt) (Fate, error) {
	return p.attempt(ctx, 1, k, send)
}

// attempt calls send once, and tells the hooks about it. number counts the attempts of a
// call.
func (p *Policy) attempt(ctx context.Context, number int, k Kind, send Attempt) (Fate, error) {
	hooks := p.Hooks.Kinds().Request
	if len(hooks) == 0 || ctx.Value(unobservedKey{}) != nil {
		_, fate, err := p.limited(ctx, k, send)
		return fate, err
	}
	began := time.Now()
	server, fate, err := p.limited(ctx, k, send)
	r := kvdb.Request{Backend: p.Backend, Attempt: number, Fate: fate.observed(err), Took: time.Since(began), Err: err}
	if server != nil {
		r.Endpoint = server.String()
	}
	for _, h := range hooks {
		h.OnRequest(ctx, r)
	}
	return fate, err
}

// observed returns the fate of an attempt as hooks get it.
func (f Fate) observed(err error) kvdb.Fate {
	switch {
	case err == nil:
		return kvdb.FateAnswered
	case f == Refused:
		return kvdb.FateRefused
	case f == NotRun:
		return kvdb.FateNotRun
	}
	return kvdb.FatePerhaps
}

type unobservedKey struct{}

// Unobserved returns a context for requests that hooks do not observe, see
// kvdb.HookRequest.
func Unobserved(ctx context.Context) context.Context {
	return context.WithValue(ctx, unobservedKey{}, true)
}

// limited calls send, with a time limit for the attempt if there is one.
func (p *Policy) limited(ctx context.Context, k Kind, send Attempt) (fmt.Stringer, Fate, error) {
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
