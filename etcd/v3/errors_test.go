package etcdv3

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/portworx/kvdb/internal/call"
)

// The error of a request shows whether the request has run.
func TestFateOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		sent bool
		want call.Fate
	}{
		{rpctypes.ErrGRPCPermissionDenied, true, call.Refused},
		{rpctypes.ErrGRPCRequestTooLarge, true, call.Refused},
		{rpctypes.ErrGRPCNoSpace, true, call.Refused},
		{rpctypes.ErrGRPCCompacted, true, call.Refused},
		{rpctypes.ErrLeaseNotFound, true, call.Refused},
		{status.Error(codes.ResourceExhausted, "trying to send message larger than max"), true, call.Refused},
		{status.Error(codes.ResourceExhausted, "trying to send message larger than max"), false, call.Refused},
		{rpctypes.ErrGRPCNoLeader, true, call.NotRun},
		{rpctypes.ErrNoLeader, true, call.NotRun}, // as the client library returns it
		{rpctypes.ErrGRPCUnhealthy, true, call.NotRun},
		{rpctypes.ErrGRPCRequestTooManyRequests, true, call.NotRun},
		{rpctypes.ErrGRPCAuthOldRevision, true, call.NotRun},
		{rpctypes.ErrGRPCNotSupportedForLearner, true, call.NotRun},
		{rpctypes.ErrGRPCTimeout, true, call.Perhaps},
		{rpctypes.ErrGRPCTimeoutDueToLeaderFail, true, call.Perhaps},
		{rpctypes.ErrGRPCStopped, true, call.Perhaps},
		{status.Error(codes.Unavailable, "transport is closing"), true, call.Perhaps},
		{status.Error(codes.Unavailable, "connection refused"), false, call.NotRun},
		{status.Error(codes.DeadlineExceeded, "context deadline exceeded"), true, call.Perhaps},
		{status.Error(codes.DeadlineExceeded, "context deadline exceeded"), false, call.NotRun},
		{status.Error(codes.Canceled, "context canceled"), true, call.Perhaps},
		{status.Error(codes.Unknown, "what a proxy says"), true, call.Perhaps},
		{status.Error(codes.Internal, ""), true, call.Perhaps},
		{context.DeadlineExceeded, true, call.Perhaps},
		{context.Canceled, true, call.Perhaps},
		{context.Canceled, false, call.NotRun},
		{errors.New("of the client library"), true, call.Perhaps},
	} {
		require.Equal(t, c.want, fateOf(c.err, c.sent), "%v, sent: %v", c.err, c.sent)
	}
}
