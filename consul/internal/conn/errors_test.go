package conn

import (
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/internal/call"
)

// The error of a request shows whether the request has run.
func TestFateOf(t *testing.T) {
	for _, text := range notRunTexts {
		for _, code := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
			require.Equal(t, call.NotRun, fateOf(api.StatusError{Code: code, Body: "rpc error: " + text}, true), text)
		}
	}
	for _, c := range []struct {
		err  error
		sent bool
		want call.Fate
	}{
		{api.StatusError{Code: http.StatusForbidden, Body: "ACL not found"}, true, call.Refused},
		{api.StatusError{Code: http.StatusRequestEntityTooLarge}, true, call.Refused},
		{api.StatusError{Code: http.StatusTooManyRequests}, true, call.NotRun},
		{api.StatusError{Code: http.StatusInternalServerError, Body: "leadership lost while committing log"}, true, call.Perhaps},
		{api.StatusError{Code: http.StatusServiceUnavailable, Body: "upstream connect error"}, true, call.Perhaps},
		{api.StatusError{Code: http.StatusBadGateway}, true, call.Perhaps},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, false, call.NotRun},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, true, call.NotRun}, // on the connection that takes the place of another
		{&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, true, call.Perhaps},
		{errors.New("no connection"), false, call.NotRun},
		{errNoIndex, true, call.Perhaps},
	} {
		require.Equal(t, c.want, fateOf(c.err, c.sent), "%v, sent: %v", c.err, c.sent)
	}
}
