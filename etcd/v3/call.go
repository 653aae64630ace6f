package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/retry"
)

const (
	// opTimeout bounds every call.
	opTimeout = 10 * time.Second
	// attemptTimeout is how long one member may take to answer a read before
	// another one is asked.
	attemptTimeout = 3 * time.Second
)

// newBackoff is what callers wait between two tries.
func newBackoff() retry.Backoff {
	return retry.Backoff{Min: 20 * time.Millisecond, Max: 500 * time.Millisecond}
}

// sentKey is the context key of a *bool that noteSent sets.
type sentKey struct{}

// noteSent is an interceptor that notes whether a request was handed to a
// connection: only then can it have run.
func noteSent(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	var p peer.Peer
	err := invoke(ctx, method, req, reply, cc, append(opts, grpc.Peer(&p))...)
	if sent, ok := ctx.Value(sentKey{}).(*bool); ok && p.Addr != nil {
		*sent = true
	}
	return err
}

// write makes a request that changes something. It is tried again only while it
// has certainly not run.
func write[T any](ctx context.Context, s *store, request func(context.Context) (T, error)) (T, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	backoff := newBackoff()
	for try := 0; ; try++ {
		sent := false
		// A member without a leader refuses at the door, and does not keep the
		// request until it times out with an unknown outcome.
		reply, err := request(clientv3.WithRequireLeader(context.WithValue(ctx, sentKey{}, &sent)))
		if err == nil {
			return reply, nil
		}
		var none T
		switch fateOf(ctx, err, sent) {
		case refused:
			return none, refusal(err)
		case perhaps:
			return none, fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, withCause(ctx, err))
		case canceled:
			return none, unsent(ctx, err)
		}
		if try >= s.retries || backoff.Wait(ctx) != nil {
			return none, unsent(ctx, err)
		}
	}
}

// read makes a request that changes nothing, or that may run twice without harm.
// It is tried again with another member when one does not answer.
func read[T any](ctx context.Context, s *store, request func(context.Context) (T, error)) (T, error) {
	ctx, end := bounded(ctx)
	defer end()
	backoff := newBackoff()
	for try := 0; ; try++ {
		sent := false
		attempt, cancel := context.WithTimeout(context.WithValue(ctx, sentKey{}, &sent), attemptTimeout)
		reply, err := request(attempt)
		cancel()
		if err == nil {
			return reply, nil
		}
		var none T
		if fateOf(ctx, err, sent) == refused {
			return none, refusal(err)
		}
		if try >= s.retries || ctx.Err() != nil || backoff.Wait(ctx) != nil {
			return none, unsent(ctx, err)
		}
	}
}

// unsent is the error of a request that had no effect. When it was the caller
// who gave up, that is all that is known; but the end of time means that the
// store did not answer.
func unsent(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return withCause(ctx, err)
	}
	return fmt.Errorf("%w: %w", kvdb.ErrNoConnection, withCause(ctx, err))
}

// bounded returns a context that ends with ctx, and after opTimeout at most. The
// engine bounds most calls itself.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= opTimeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, opTimeout)
}
