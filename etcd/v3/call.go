package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
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

// attempt is the context of one try of a request. It finds out whether the
// request was handed to a connection: only then can it have run.
type attempt struct {
	context.Context
	peer peer.Peer // has an address when a connection was chosen
	// needsLeader: a member without a leader refuses at the door. Else it would keep
	// a write until it times out with an unknown outcome, and a read for as long as it
	// has no leader.
	needsLeader bool
}

type attemptKey struct{}

// Value implements context.Context.
func (a *attempt) Value(key any) any {
	if _, ok := key.(attemptKey); ok {
		return a
	}
	return a.Context.Value(key)
}

// Deadline implements context.Context. It tells gRPC of none, which would send
// it as a header: one that differs from request to request pushes all others
// out of the connection's compression table, at both ends. Done ends the request
// at the server, too.
func (a *attempt) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

func (a *attempt) sent() bool { return a.peer.Addr != nil }

// mayHaveRun reports whether the request of an attempt may have run although there is
// no answer but err.
func mayHaveRun(ctx context.Context, err error) bool {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	return err != nil && ok && fateOf(ctx, err, a.sent()) == perhaps
}

// intercept is the interceptor that attempts rely on.
func intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	// Of several tries of the client library's it stays: gRPC sets it when there
	// was a connection.
	opts = append(opts, grpc.Peer(&a.peer))
	if a.needsLeader {
		// clientv3.WithRequireLeader does the same, and copies the metadata that the
		// client library adds.
		ctx = metadata.AppendToOutgoingContext(ctx, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err != nil {
		driver.AwaitEnd(ctx)
	}
	if c := status.Code(err); (c == codes.Canceled || c == codes.DeadlineExceeded) && ctx.Err() == nil {
		// Not the caller has given up, but a proxy, for example. The client library
		// would send the request again, whatever it is.
		err = status.Error(codes.Unknown, err.Error())
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
		a := &attempt{Context: ctx, needsLeader: true}
		reply, err := request(a)
		if err == nil {
			return reply, nil
		}
		var none T
		switch fateOf(ctx, err, a.sent()) {
		case refused:
			return none, refusal(err)
		case perhaps:
			return none, fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, driver.WithCause(ctx, err))
		case canceled:
			return none, driver.NotReached(ctx, err)
		}
		if try >= s.retries || s.pause(ctx, &backoff, try, err) != nil {
			return none, driver.NotReached(ctx, err)
		}
	}
}

// pause waits before a request is tried again. It does not wait while the members
// say in turn that they have no leader, because the next one may have one.
func (s *store) pause(ctx context.Context, backoff *retry.Backoff, try int, err error) error {
	if errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader) && try+1 < len(s.client.Endpoints()) {
		return ctx.Err()
	}
	return backoff.Wait(ctx)
}

// read makes a request that changes nothing, or that may run twice without harm.
// It is tried again with another member when one does not answer.
func read[T any](ctx context.Context, s *store, request func(context.Context) (T, error)) (T, error) {
	return readFrom(ctx, s, true, request)
}

// readFrom is read from any member, or from one with a leader.
func readFrom[T any](ctx context.Context, s *store, needsLeader bool, request func(context.Context) (T, error)) (T, error) {
	ctx, end := bounded(ctx)
	defer end()
	backoff := newBackoff()
	for try := 0; ; try++ {
		limited, cancel := driver.WithTimeLimit(ctx, attemptTimeout)
		a := &attempt{Context: limited, needsLeader: needsLeader}
		reply, err := request(a)
		cancel()
		if err == nil {
			return reply, nil
		}
		var none T
		if fateOf(ctx, err, a.sent()) == refused {
			return none, refusal(err)
		}
		if try >= s.retries || ctx.Err() != nil || s.pause(ctx, &backoff, try, err) != nil {
			return none, driver.NotReached(ctx, err)
		}
	}
}

// bounded returns a context that ends with ctx, and after opTimeout at most. The
// engine bounds most calls itself.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= opTimeout {
		return ctx, func() {}
	}
	return driver.WithTimeLimit(ctx, opTimeout)
}
