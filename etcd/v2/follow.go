package etcdv2

import (
	"context"
	"errors"
	"io"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
)

const (
	// majorityAge is the longest time since a majority has answered with which a long poll
	// may begin.
	majorityAge = 5 * time.Second
)

// follow calls f with the events after an index, up to another one or until it returns
// false. Each is a request. If there is no event at the last index, follow waits for a
// later one. It continues after lost connections. The indexes are of the history g. When
// that is over, the error wraps kvdb.ErrWatchRevisionCompacted.
func (p *pool) follow(ctx context.Context, g *generation, path string, recursive bool, after, upTo uint64, f func(*client.Response) (more bool, err error)) error {
	ctx, cancel := g.bind(ctx)
	defer cancel()
	return p.retryUntil(ctx, func() (more bool, err error) {
		if after >= upTo {
			return false, nil
		}
		event, _, err := p.Current().longPoll(ctx, nil).next(ctx, path, recursive, after, p.sameHistory(g))
		if err != nil || event.Node.ModifiedIndex > upTo {
			return false, err
		}
		more, err = f(event)
		after = event.Node.ModifiedIndex
		return more, err
	})
}

// next waits for the first event after an index, with a check as of listen, and ends l, whose
// caller's context is ctx. If it fails there was none up to settled.
func (l *longPoll) next(ctx context.Context, path string, recursive bool, after uint64, check func(context.Context) error) (event *client.Response, settled uint64, err error) {
	defer l.end()
	s, err := l.listen(path, recursive, after+1, check)
	if err == nil {
		defer s.body.Close()
		if event, err = s.next(); err == nil {
			_, _ = io.Copy(io.Discard, s.body) // so that the connection can be reused
			return event, 0, nil
		}
	}
	return nil, l.settled(), l.failure(ctx, err)
}

// retryUntil calls f until that returns false. When f fails because a connection was lost
// it calls f again, until no majority has answered for driver.WatchTimeout.
func (p *pool) retryUntil(ctx context.Context, f func() (more bool, err error)) error {
	backoff := newBackoff()
	for {
		if p.Silence() > majorityAge {
			if err := p.recover(ctx); err != nil {
				return err
			}
		}
		err := p.verify(ctx)
		more := true
		if err == nil {
			more, err = f()
		}
		switch {
		case err == nil && !more:
			return nil
		case err == nil:
			backoff.Reset()
		case !errors.Is(err, kvdb.ErrNoConnection):
			return err
		case backoff.Wait(ctx) != nil:
			return ended(ctx, err)
		}
	}
}

// ended returns the error of a call that was retried until ctx ended. err is that of the
// last try, a lost connection, which does not matter if the caller has given up.
func ended(ctx context.Context, err error) error {
	if driver.GivenUp(ctx) {
		return driver.WithCause(ctx, nil)
	}
	return err
}

// recover waits until a majority answers, but not longer than driver.WatchTimeout since the last
// answer.
func (p *pool) recover(ctx context.Context) error {
	ctx, cancel := driver.WithTimeLimit(ctx, max(driver.WatchTimeout-p.Silence(), call.AttemptTimeout))
	defer cancel()
	backoff := newBackoff()
	for {
		err := p.ping(ctx)
		if !errors.Is(err, kvdb.ErrNoConnection) {
			return err
		}
		if backoff.Wait(ctx) != nil {
			return ended(ctx, err)
		}
	}
}
