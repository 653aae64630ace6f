package etcdv2

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/call"
)

// serverError is an answer with a status from 500 on.
type serverError struct {
	status int
	etcd   client.Error
}

func (e *serverError) Error() string { return fmt.Sprintf("status %d: %v", e.status, e.etcd) }

// refusedError is an answer with a status from 400 to 499.
type refusedError struct {
	status int
	err    error // the error of the client library
}

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// Is reports whether target is [kvdb.ErrPermission] and the user may not do what was
// asked. etcd answers the same when the password is wrong; login finds that out.
func (e *refusedError) Is(target error) bool {
	return target == kvdb.ErrPermission && (e.status == http.StatusUnauthorized || codeOf(e.err) == client.ErrorCodeUnauthorized)
}

// isStatus reports whether etcd refused a request with an HTTP status.
func isStatus(err error, status int) bool {
	var refusal *refusedError
	return errors.As(err, &refusal) && refusal.status == status
}

// fateOf classifies the error of a request. sent reports whether it got a
// connection.
func fateOf(err error, sent bool) call.Fate {
	var failed *serverError
	var refusal *refusedError
	var op *net.OpError
	switch {
	case errors.As(err, &refusal), errors.As(err, &failed) && failed.isEmptyOntoDirectory():
		return call.Refused
	case failed != nil && (failed.isProxyWithoutMembers() || failed.etcd.Code == client.ErrorCodeLeaderElect):
		return call.NotRun
	case failed != nil:
		return call.Perhaps
	case !sent, errors.As(err, &op) && op.Op == "dial":
		return call.NotRun
	}
	return call.Perhaps
}

// isEmptyOntoDirectory reports whether e is etcd's answer to an update of a directory with
// an empty value, which has a code of its own.
func (e *serverError) isEmptyOntoDirectory() bool {
	return e.etcd.Code == client.ErrorCodeRaftInternal && strings.Contains(e.etcd.Cause, "Not a file")
}

// isProxyWithoutMembers reports whether e is the answer of etcd's own proxy to a request
// that it has not forwarded. Other proxies use this status for an interrupted request too.
func (e *serverError) isProxyWithoutMembers() bool {
	return e.status == http.StatusServiceUnavailable && strings.Contains(e.etcd.Message, "zero endpoints")
}

// answer returns the error that etcd answered to a request for keys.
func answer(err error) client.Error {
	var etcd client.Error
	var failed *serverError
	if errors.As(err, &failed) && failed.isEmptyOntoDirectory() {
		return client.Error{Code: client.ErrorCodeNotFile}
	}
	errors.As(err, &etcd)
	return etcd
}

// isPast reports whether an error says that the server no longer remembers an index, or
// that it is of another history.
func isPast(err error) bool {
	return codeOf(err) == client.ErrorCodeEventIndexCleared || errors.Is(err, kvdb.ErrWatchRevisionCompacted)
}

// codeOf returns the code of the answer, or 0.
func codeOf(err error) int { return answer(err).Code }

// maxErrorBody bounds how many bytes of the body of an error are read.
const maxErrorBody = 64 << 10

// readError returns the error in a reply.
func readError(reply *http.Response) error {
	failed := &serverError{status: reply.StatusCode}
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxErrorBody))
	if err != nil || json.Unmarshal(body, &failed.etcd) != nil { // not an error of etcd's
		failed.etcd.Message = string(body)
	}
	if reply.StatusCode < http.StatusInternalServerError {
		return &refusedError{failed.status, failed.etcd}
	}
	return failed
}
