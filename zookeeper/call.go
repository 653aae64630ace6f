package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// fate is what an error tells about a request.
type fate int

const (
	answered fate = iota // the server answered, maybe with no
	notRun               // it certainly did not run; another try may do better
	perhaps              // it may have run
)

// errAbandoned is that of a request whose answer the caller did not wait for.
var errAbandoned = errors.New("no answer in time")

// reconfiguring is the answer to a reconfiguration during another.
const reconfiguring = "unknown error: -14"

// refusals are answers that ZooKeeper's client has no names for: not
// implemented, a reconfiguration without a quorum, one during another, and a
// quota that is used up.
var refusals = []string{"unknown error: -6", "unknown error: -13", reconfiguring, "unknown error: -125"}

func fateOf(err error) fate {
	switch {
	case err == nil:
		return answered
	case errors.Is(err, zk.ErrNoServer), errors.Is(err, zk.ErrSessionExpired), errors.Is(err, zk.ErrSessionMoved):
		return notRun
	case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNodeExists),
		errors.Is(err, zk.ErrNotEmpty), errors.Is(err, zk.ErrNoChildrenForEphemerals), errors.Is(err, zk.ErrNoAuth),
		errors.Is(err, zk.ErrInvalidACL), errors.Is(err, zk.ErrAuthFailed), errors.Is(err, zk.ErrReconfigDisabled),
		errors.Is(err, zk.ErrBadArguments), errors.Is(err, zk.ErrInvalidPath), errors.Is(err, zk.ErrShortBuffer),
		slices.Contains(refusals, err.Error()):
		return answered
	}
	return perhaps
}

// refusal turns an error that ZooKeeper answers with into one of ours.
func refusal(err error) error {
	switch {
	case errors.Is(err, zk.ErrNoAuth):
		return fmt.Errorf("%w: %w", kvdb.ErrPermission, err)
	case errors.Is(err, zk.ErrAuthFailed):
		return fmt.Errorf("%w: %w", kvdb.ErrLogin, err)
	}
	return err
}

// request is a request, or several of which all but the last are reads.
type request func(c *zk.Conn) error

// read sends reads that see everything that was written before, unless the
// instance is content with less.
func (s *store) read(ctx context.Context, r request) error {
	if s.stale {
		return s.peek(ctx, r)
	}
	return s.sync(ctx, r)
}

// sync sends reads behind a sync.
func (s *store) sync(ctx context.Context, r request) error {
	return s.call(ctx, true, func(c *zk.Conn) error {
		f := s.main.flush()
		if err := f.begun(ctx); err != nil {
			return lost(err)
		}
		err := r(c)
		if flushErr := f.end(ctx); flushErr != nil {
			return lost(flushErr)
		}
		return err
	})
}

// lost is the error of a read without a sync that was answered.
func lost(err error) error { return fmt.Errorf("%w: %w", errAbandoned, err) }

// peek sends reads that may see an old state, but none older than an earlier
// reply to this instance showed.
func (s *store) peek(ctx context.Context, r request) error { return s.call(ctx, true, r) }

// write sends a write. It is sent again only when it certainly had no effect.
func (s *store) write(ctx context.Context, r request) error { return s.call(ctx, false, r) }

func (s *store) call(ctx context.Context, repeatable bool, r request) error {
	again := retry.Backoff{Min: 5 * time.Millisecond, Max: 500 * time.Millisecond}
	var err error
	for n := 0; ; n++ {
		if err := s.reach(ctx, err); err != nil {
			return err
		}
		err = s.main.run(ctx, r)
		switch fate := fateOf(err); {
		case fate == answered:
			return err
		case fate == perhaps && !repeatable:
			return fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, driver.WithCause(ctx, err))
		}
		if s.retries > 0 && n >= s.retries || again.Wait(ctx) != nil {
			return driver.NotReached(ctx, err)
		}
	}
}

// reach waits until requests can be sent, for opTimeout at most: a call that may
// take longer, once it is under way, does not begin during an outage. before is
// the error of the last request.
func (s *store) reach(ctx context.Context, before error) error {
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > opTimeout {
		var cancel context.CancelFunc
		ctx, cancel = driver.WithTimeLimit(ctx, opTimeout)
		defer cancel()
	}
	if s.main.await(ctx) != nil || ctx.Err() != nil {
		if before == nil {
			before = s.main.failure()
		}
		return driver.NotReached(ctx, before)
	}
	return nil
}

// run sends a request and waits for its end or the context's. It sends none after that,
// because what undoes an abandoned one is sent then.
func (c *client) run(ctx context.Context, r request) error {
	done := make(chan error, 1)
	go func() {
		if ctx.Err() == nil {
			done <- r(c.conn)
		}
	}()
	select {
	case err := <-done:
		return refusal(err)
	case <-ctx.Done():
		return errAbandoned
	}
}
