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
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/failover"
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
	"rate limit exceeded",             // with a 503, which by itself may be a proxy's, of a request that was cut off
	"ACL system must be bootstrapped", // by a leader that does not know its tokens yet
}

// fateOf classifies the error of a request. sent reports whether it got a
// connection.
func fateOf(err error, sent bool) failover.Fate {
	var status api.StatusError
	if errors.As(err, &status) {
		for _, text := range notRunTexts {
			if strings.Contains(status.Body, text) {
				return failover.NotRun
			}
		}
		switch {
		case status.Code == http.StatusTooManyRequests:
			return failover.NotRun
		case status.Code < http.StatusInternalServerError:
			return failover.Refused
		}
		return failover.Perhaps
	}
	var op *net.OpError
	if !sent || errors.As(err, &op) && op.Op == "dial" {
		return failover.NotRun
	}
	return failover.Perhaps
}

// explain makes an error of Consul's client tell more: code is the status of the
// reply, 0 when there was none.
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

// Of answers that may come from another program than Consul.
var (
	errNoIndex    = errors.New("it has no " + indexHeader)
	errNoID       = errors.New("it does not have the ID of the session")
	errNotWritten = errors.New("it says that the key is written, which is as it was before")
	errResults    = errors.New("it does not have the results of the transaction")
)

// refusal turns an answer of Consul's into one of our errors.
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

// hadEffect returns the error of a call that has had an effect, and failed with err
// afterwards. It does not wrap what err wraps: kvdb.ErrNoConnection would say that there
// was none.
func hadEffect(ctx context.Context, err error) error {
	return fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, driver.WithCause(ctx, errors.New(err.Error())))
}

// conflict is a transaction that Consul did not apply.
type conflict struct {
	op   int // the first operation that failed
	what string
}

func (c *conflict) Error() string {
	return fmt.Sprintf("operation %d of the transaction failed: %s", c.op, c.what)
}

// isConflict reports whether a transaction was not applied because something is
// not as it was thought to be.
func isConflict(err error) bool {
	var c *conflict
	return errors.As(err, &c)
}

// isUnknownToken reports whether Consul answered that there is no such token.
func isUnknownToken(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusForbidden && strings.Contains(status.Body, "ACL not found")
}

// isStatus reports whether Consul answered with an HTTP status.
func isStatus(err error, code int) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == code
}
