package etcdv2

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
)

const (
	// pollTime is how long one request waits for an event. The next one begins at
	// the index that the store had when this one began, so that the server's
	// history still reaches back to where a watch is.
	pollTime = 10 * time.Second
	// majorityAge is how long ago a majority must have answered at the most when a
	// request begins to wait for events: a member that is cut off from the others
	// would have none.
	majorityAge = 5 * time.Second
	// patience is how long a watch, or who waits for a lock, goes without a reply.
	patience = 50 * time.Second
)

var errQuiet = errors.New("there was no event for a while")

// poll waits for the first event on a node, or below it, after an index. Without
// one it returns nil, and an index up to which there is none.
func (s *store) poll(ctx context.Context, path string, recursive bool, after uint64) (*client.Response, uint64, error) {
	m, _ := s.pool.current()
	l, err := m.line()
	if err != nil {
		return nil, after, err
	}
	defer m.put(l)
	polling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(pollTime, func() { cancel(errQuiet) })
	defer quiet.Stop()
	late := time.AfterFunc(attemptTimeout, func() { cancel(errNoAnswer) })
	defer late.Stop()
	begun := after
	l.begin(polling, func(h http.Header) {
		late.Stop()
		// It is the index at the start of the request, when no event was in the
		// history. A member that lags behind has a smaller one.
		if index, err := strconv.ParseUint(h.Get("X-Etcd-Index"), 10, 64); err == nil {
			begun = max(begun, index)
		}
	})
	reply, err := l.keys.Watcher(path, &client.WatcherOptions{AfterIndex: after, Recursive: recursive}).Next(polling)
	switch {
	case err == nil:
		return reply, after, nil
	case ctx.Err() != nil:
		return nil, after, context.Cause(ctx)
	case context.Cause(polling) == errQuiet:
		return nil, begun, nil
	}
	if err = l.explain(err); fateOf(err, l.sent.Load()) == refused {
		return nil, after, err
	}
	s.pool.avoid(m)
	return nil, begun, notReached(ctx, err)
}

// await is poll that rides out lost connections, until nobody has answered for a
// while.
func (s *store) await(ctx context.Context, path string, recursive bool, after uint64) (*client.Response, uint64, error) {
	backoff := newBackoff()
	for {
		if s.pool.silence() > majorityAge {
			if err := s.recover(ctx); err != nil {
				return nil, after, err
			}
		}
		reply, index, err := s.poll(ctx, path, recursive, after)
		if !errors.Is(err, kvdb.ErrNoConnection) {
			return reply, index, err
		}
		after = index
		if err := backoff.Wait(ctx); err != nil {
			return nil, after, err
		}
	}
}

// recover returns when a majority answers, unless none has for patience.
func (s *store) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(patience-s.pool.silence(), attemptTimeout))
	defer cancel()
	backoff := newBackoff()
	for {
		err := s.pool.ping(ctx)
		if !errors.Is(err, kvdb.ErrNoConnection) || backoff.Wait(ctx) != nil {
			return err
		}
	}
}
