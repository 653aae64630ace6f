package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// reconfiguring is the text of the error of a reconfiguration during another one.
const reconfiguring = "unknown error: -14"

// refusals are the texts of errors that ZooKeeper's client has no values for: not implemented, a
// reconfiguration without a quorum, one during another one, and a quota that is used up.
var refusals = []string{"unknown error: -6", "unknown error: -13", reconfiguring, "unknown error: -125"}

// fateOf returns the fate of a request that has ended with err, which may be nil.
func fateOf(err error) call.Fate {
	switch {
	case err == nil:
		return call.Refused
	case errors.Is(err, zk.ErrNoServer), errors.Is(err, zk.ErrSessionExpired), errors.Is(err, zk.ErrSessionMoved):
		return call.NotRun
	case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNodeExists),
		errors.Is(err, zk.ErrNotEmpty), errors.Is(err, zk.ErrNoChildrenForEphemerals), errors.Is(err, zk.ErrNoAuth),
		errors.Is(err, zk.ErrInvalidACL), errors.Is(err, zk.ErrAuthFailed), errors.Is(err, zk.ErrReconfigDisabled),
		errors.Is(err, zk.ErrBadArguments), errors.Is(err, zk.ErrInvalidPath), errors.Is(err, zk.ErrShortBuffer),
		slices.Contains(refusals, err.Error()):
		return call.Refused
	}
	return call.Perhaps
}

// sync sends reads behind a sync, so that they see all writes that were acknowledged before.
func (s *store) sync(ctx context.Context, r conn.Request) error {
	return s.repeat(ctx, func(c *zk.Conn) error {
		f := s.main.StartSync()
		if err := f.Sent(ctx); err != nil {
			return lost(err)
		}
		err := r(c)
		if syncErr := f.Wait(ctx); syncErr != nil {
			return lost(syncErr)
		}
		return err
	})
}

// lost returns the error of a read whose sync has failed with err.
func lost(err error) error { return fmt.Errorf("%w: %w", conn.ErrAbandoned, err) }

// peek sends reads that may see an old state, but none older than earlier replies to this
// instance.
func (s *store) peek(ctx context.Context, r conn.Request) error { return s.repeat(ctx, r) }

// repeat sends requests that may run twice without harm.
func (s *store) repeat(ctx context.Context, r conn.Request) error {
	return s.send(ctx, call.Repeatable, r)
}

// write sends a write, which must not run twice.
func (s *store) write(ctx context.Context, r conn.Request) error { return s.send(ctx, call.Once, r) }

func (s *store) send(ctx context.Context, k call.Kind, r conn.Request) error {
	return s.calls.Do(ctx, k, func(ctx context.Context, _ func()) (fmt.Stringer, call.Fate, error) {
		server := s.main.Server()
		err := s.main.Run(ctx, r)
		return server, fateOf(err), err
	})
}

// reach waits until requests can be sent, for driver.CallTimeout at most, so that a call that may take longer
// does not begin during an outage. before is the error of the last request.
func (s *store) reach(ctx context.Context, before error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if s.main.Ready(ctx) != nil || ctx.Err() != nil {
		if before == nil {
			before = s.main.Failure()
		}
		return driver.NotReached(ctx, before)
	}
	return nil
}
