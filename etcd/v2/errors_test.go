package etcdv2

import (
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb/internal/call"
)

// The error of a request shows whether the request has run.
func TestFateOf(t *testing.T) {
	failed := func(code int, message, cause string) error {
		return &serverError{http.StatusInternalServerError, client.Error{Code: code, Message: message, Cause: cause}}
	}
	unavailable := func(message string) error {
		return &serverError{http.StatusServiceUnavailable, client.Error{Message: message}}
	}
	for _, c := range []struct {
		err  error
		sent bool
		want call.Fate
	}{
		{&refusedError{http.StatusNotFound, client.Error{Code: client.ErrorCodeKeyNotFound}}, true, call.Refused},
		{&refusedError{http.StatusUnauthorized, client.Error{Code: client.ErrorCodeUnauthorized}}, true, call.Refused},
		{failed(client.ErrorCodeRaftInternal, "Raft Internal Error", "Not a file (/dir)"), true, call.Refused},
		{failed(client.ErrorCodeRaftInternal, "Raft Internal Error", "etcdserver: request timed out"), true, call.Perhaps},
		{failed(client.ErrorCodeLeaderElect, "During Leader Election", ""), true, call.NotRun},
		{unavailable("proxy: zero endpoints currently available"), true, call.NotRun},
		{unavailable("upstream connect error"), true, call.Perhaps},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, false, call.NotRun},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, true, call.NotRun}, // on the connection that takes the place of another
		{&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, true, call.Perhaps},
		{errors.New("no connection"), false, call.NotRun},
		{errNoNode, true, call.Perhaps},
	} {
		require.Equal(t, c.want, fateOf(c.err, c.sent), "%v, sent: %v", c.err, c.sent)
	}
}
