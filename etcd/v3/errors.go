package etcdv3

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/call"
)

// fateOf classifies the error of a request. sent reports whether it was handed to
// a connection.
func fateOf(err error, sent bool) call.Fate {
	switch {
	case errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader), // refused at the door, for requests that require one
		errors.Is(rpctypes.Error(err), rpctypes.ErrUnhealthy), // the same for changes of members, until all are connected
		errors.Is(rpctypes.Error(err), rpctypes.ErrTooManyRequests),
		errors.Is(rpctypes.Error(err), rpctypes.ErrAuthOldRevision), // users were changed since it was sent
		status.Convert(err).Message() == status.Convert(rpctypes.ErrGRPCNotSupportedForLearner).Message():
		return call.NotRun
	case !sent && status.Code(err) == codes.ResourceExhausted: // larger than the client may send
		return call.Refused
	case !sent:
		return call.NotRun
	}
	switch code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown, codes.Internal, codes.DataLoss, codes.Aborted:
		return call.Perhaps
	}
	return call.Refused
}

// code returns the gRPC code of an error, also of an error that the client library
// has converted.
func code(err error) codes.Code {
	var etcd rpctypes.EtcdError
	switch {
	case errors.As(err, &etcd):
		return etcd.Code()
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return status.Code(err)
}

// restoreCode is a gRPC interceptor that restores the code of etcd's errors. A gRPC
// proxy sends them with the code Unknown, which would mean that the request may have
// run.
func restoreCode(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	var known rpctypes.EtcdError
	if status.Code(err) == codes.Unknown && errors.As(rpctypes.Error(err), &known) {
		return status.Error(known.Code(), known.Error())
	}
	return err
}

// refusal converts an error that etcd replied with to an error of this library.
func refusal(err error) error {
	err = rpctypes.Error(err)
	switch {
	case errors.Is(err, rpctypes.ErrRequestTooLarge), code(err) == codes.ResourceExhausted && !errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: over the server's limit of a request, which is %d bytes by default: %w", kvdb.ErrTooLarge, maxRequest, err)
	case errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("%w: over the server's limit of a transaction, which is %d operations by default: %w", kvdb.ErrTooLarge, maxTxOps, err)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("%w: %w", kvdb.ErrPermission, err)
	case errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrUserEmpty), errors.Is(err, rpctypes.ErrInvalidAuthToken):
		return fmt.Errorf("%w: %w", kvdb.ErrLogin, err)
	case errors.Is(err, rpctypes.ErrLeaseTTLTooLarge):
		return kvdb.ErrTTLNotSupported
	case errors.Is(err, rpctypes.ErrCompacted):
		return kvdb.ErrWatchRevisionCompacted
	case code(err) == codes.Unimplemented:
		return fmt.Errorf("%w: the server does not speak the etcd v3 API: %w", kvdb.ErrNoConnection, err)
	}
	return err
}
