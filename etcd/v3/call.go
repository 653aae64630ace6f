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

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/retry"
)

// newBackoff returns the waits between two attempts.
func newBackoff() retry.Backoff {
	return retry.Backoff{Min: 20 * time.Millisecond, Max: 500 * time.Millisecond}
}

// attempt is the context of one attempt at a request. It finds out whether the request
// was handed to a connection, because only then can it have run.
type attempt struct {
	context.Context
	peer peer.Peer // has an address when a connection was chosen
	// needsLeader: a member without a leader refuses the request at once. Otherwise it
	// would keep a write until that times out with an unknown outcome, and a read until
	// it has a leader.
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

// Deadline implements context.Context. It returns no deadline, because gRPC would send it
// as a header, and one that differs from request to request pushes all others out of the
// connection's compression table, at both ends. The end of Done ends the request at the
// server too.
func (a *attempt) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

func (a *attempt) sent() bool { return a.peer.Addr != nil }

// mayHaveRun reports whether the request of an attempt may have run although there is
// no answer but err.
func mayHaveRun(ctx context.Context, err error) bool {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	return ok && fateOf(err, a.sent()) == call.Perhaps
}

// intercept is the interceptor that finds out what an attempt says.
func intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	// gRPC sets the peer when there was a connection. It stays set when the client library
	// sends the request again.
	opts = append(opts, grpc.Peer(&a.peer))
	if a.needsLeader {
		// clientv3.WithRequireLeader does the same, and copies the metadata that the
		// client library adds.
		ctx = metadata.AppendToOutgoingContext(ctx, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	if c := status.Code(err); (c == codes.Canceled || c == codes.DeadlineExceeded) && ctx.Err() == nil {
		// The caller did not cancel; a proxy may have. With Unknown the client library does
		// not send the request again.
		err = status.Error(codes.Unknown, err.Error())
	}
	return err
}

// policy returns how requests are sent. gRPC sends each to the next member.
func (s *store) policy(retries int) call.Policy {
	return call.Policy{
		Hooks: &s.hooks, Backend: Name,
		Limit: driver.CallTimeout, AttemptTimeout: call.AttemptTimeout, Whole: true, Retries: retries, Backoff: newBackoff(),
		// When a member answers that it has no leader, the next one may have one.
		AtOnce: func(attempts int, err error) bool {
			return errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader) && attempts < len(s.client.Endpoints())
		},
	}
}

// write makes a request that changes something.
func write[T any](ctx context.Context, s *store, request func(context.Context) (T, error)) (T, error) {
	return send(ctx, s, call.Once, true, request)
}

// read makes a request that changes nothing, or that may run twice without harm.
func read[T any](ctx context.Context, s *store, request func(context.Context) (T, error)) (T, error) {
	return send(ctx, s, call.Repeatable, true, request)
}

// send makes a request of any member, or of one with a leader.
func send[T any](ctx context.Context, s *store, k call.Kind, needsLeader bool, request func(context.Context) (T, error)) (reply T, err error) {
	err = s.calls.Do(ctx, k, attempting(needsLeader, &reply, request))
	return reply, err
}

// try makes a request once, of any member.
func try[T any](ctx context.Context, s *store, k call.Kind, request func(context.Context) (T, error)) (reply T, err error) {
	_, err = s.calls.Try(ctx, k, attempting(false, &reply, request))
	return reply, err
}

// attempting returns an attempt at a request, which sets reply.
func attempting[T any](needsLeader bool, reply *T, request func(context.Context) (T, error)) call.Attempt {
	return func(ctx context.Context, _ func()) (member fmt.Stringer, fate call.Fate, err error) {
		a := &attempt{Context: ctx, needsLeader: needsLeader}
		if *reply, err = request(a); err == nil {
			return a.peer.Addr, call.Refused, nil
		}
		fate = fateOf(err, a.sent())
		if fate == call.Refused {
			err = refusal(err)
		}
		return a.peer.Addr, fate, err
	}
}
