package conn

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/call"
)

// notRunTexts are parts of replies to requests that did not reach the log of
// Consul's leader, and that may do so a moment later.
var notRunTexts = []string{
	"No cluster leader",
	"node is not the leader",
	"Raft leader not found",
	"leadership transfer in progress",
	"timed out enqueuing operation",
	"rpc error getting client", // no connection to the leader
	"No known Consul servers",
	"rate limit exceeded",             // with a 503, which without this text may be a proxy's
	"ACL system must be bootstrapped", // from a leader that does not know its tokens yet
}

// fateOf classifies the error of a request. sent reports whether it got a
// connection.
func fateOf(err error, sent bool) call.Fate {
	var status api.StatusError
	if errors.As(err, &status) {
		for _, text := range notRunTexts {
			if strings.Contains(status.Body, text) {
				return call.NotRun
			}
		}
		switch {
		case status.Code == http.StatusTooManyRequests:
			return call.NotRun
		case status.Code < http.StatusInternalServerError:
			return call.Refused
		}
		return call.Perhaps
	}
	var op *net.OpError
	if !sent || errors.As(err, &op) && op.Op == "dial" {
		return call.NotRun
	}
	return call.Perhaps
}

// explain adds to an error of Consul's client what the reply had: code is its status,
// 0 without a reply.
func (e *endpoint) explain(err error, code int) error {
	var status api.StatusError
	switch {
	case err == nil, code == 0, errors.As(err, &status):
		return err
	case code < http.StatusBadRequest, errors.Is(err, errNoIndex):
		return fmt.Errorf("the answer of %s is not what Consul answers: %w", e.address, err)
	}
	return api.StatusError{Code: code, Body: err.Error()}
}

// The errors of a reply that is not Consul's.
var (
	errNoIndex = errors.New("it has no " + indexHeader)
	errResults = errors.New("it does not have the results of the transaction")
)

// refusal wraps Consul's refusal of a request in one of kvdb's errors.
func refusal(err error) error {
	var status api.StatusError
	switch {
	case !errors.As(err, &status):
	case status.Code == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %w", kvdb.ErrTooLarge, err)
	case isUnknownToken(err):
		return fmt.Errorf("%w: %w", kvdb.ErrLogin, err)
	case status.Code == http.StatusForbidden:
		return fmt.Errorf("%w: %w", kvdb.ErrPermission, err)
	}
	return err
}

// isUnknownToken reports whether Consul answered that it does not know the token.
func isUnknownToken(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusForbidden && strings.Contains(status.Body, "ACL not found")
}

// IsStatus reports whether Consul answered with an HTTP status.
func IsStatus(err error, code int) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == code
}

// IsForbidden reports whether Consul answered that the token may not do that.
func IsForbidden(err error) bool { return IsStatus(err, http.StatusForbidden) }
