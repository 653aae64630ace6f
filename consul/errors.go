package consul

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
)

// fate is what an error tells about the request.
type fate int

const (
	refused fate = iota // Consul looked at it and said no
	notRun              // it certainly did not run; another try may do better
	perhaps             // it may have run
)

// texts of replies to requests that did not get as far as the log of Consul's
// leader, and may do so in a moment.
var notRunTexts = []string{
	"No cluster leader",
	"node is not the leader",
	"Raft leader not found",
	"leadership transfer in progress",
	"timed out enqueuing operation",
	"rpc error getting client", // no connection to the leader
	"No known Consul servers",
	"ACL system must be bootstrapped", // by a leader that does not know its tokens yet
}

// fateOf classifies the error of a request. sent tells whether it got a
// connection.
func fateOf(err error, sent bool) fate {
	var status api.StatusError
	if errors.As(err, &status) {
		for _, text := range notRunTexts {
			if strings.Contains(status.Body, text) {
				return notRun
			}
		}
		switch {
		case status.Code == http.StatusTooManyRequests, status.Code == http.StatusServiceUnavailable:
			return notRun
		case status.Code < http.StatusInternalServerError:
			return refused
		}
		return perhaps
	}
	var op *net.OpError
	if !sent || errors.As(err, &op) && op.Op == "dial" {
		return notRun
	}
	return perhaps
}

// withStatus gives an error of Consul's client the status of the reply.
func withStatus(err error, code int) error {
	var status api.StatusError
	if err == nil || code < http.StatusBadRequest || errors.As(err, &status) {
		return err
	}
	return api.StatusError{Code: code, Body: err.Error()}
}

// refusal turns an answer of Consul's into one of our errors.
func refusal(err error) error {
	var status api.StatusError
	if errors.As(err, &status) && status.Code == http.StatusRequestEntityTooLarge {
		return fmt.Errorf("%w: %w", kvdb.ErrTooLarge, err)
	}
	return err
}

// notReached is the error of a request that had no effect. When it was the
// caller who gave up, that is all that is known; but the end of time means that
// Consul did not answer.
func notReached(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return withCause(ctx, err)
	}
	return fmt.Errorf("%w: %w", kvdb.ErrNoConnection, withCause(ctx, err))
}

// withCause adds to an error why the caller's context ended, if it has.
func withCause(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}

// conflict is a transaction that Consul did not apply.
type conflict struct {
	op   int // the first operation that failed
	what string
}

func (c *conflict) Error() string {
	return fmt.Sprintf("operation %d of the transaction failed: %s", c.op, c.what)
}

// isConflict tells whether a transaction was not applied because something is
// not as it was thought to be.
func isConflict(err error) bool {
	var c *conflict
	return errors.As(err, &c)
}

// isStatus tells whether Consul answered with an HTTP status.
func isStatus(err error, code int) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == code
}
