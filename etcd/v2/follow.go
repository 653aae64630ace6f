package etcdv2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
)

const (
	// majorityAge is how long ago a majority must have answered at the most when a
	// request begins to wait for events.
	majorityAge = 5 * time.Second
	// patience is how long a watch, or who waits for a lock, goes without a reply.
	patience = 50 * time.Second
)

// feed is the answer to a request for events.
type feed struct {
	body   io.ReadCloser
	events *json.Decoder
	began  uint64 // the member's index when the answer began
}

// listen asks for the first event from an index on; or, when that is 0, for all
// from now on. The events are those of the node at path or, recursive, also of what
// is below it.
func (v *visit) listen(path string, recursive bool, from uint64) (*feed, error) {
	p := v.member.pool
	query := url.Values{"wait": {"true"}, "recursive": {strconv.FormatBool(recursive)}}
	if from == 0 {
		query.Set("stream", "true")
	} else {
		query.Set("waitIndex", strconv.FormatUint(from, 10))
	}
	u := url.URL{Path: "/v2/keys" + path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(v.ctx, http.MethodGet, v.member.url+u.String(), nil)
	if err != nil {
		return nil, err
	}
	if p.user != "" {
		request.SetBasicAuth(p.user, p.password)
	}
	g, _ := p.history.now()
	late := time.AfterFunc(call.AttemptTimeout, func() { v.cancel(driver.ErrTimeLimit) })
	defer late.Stop()
	reply, err := p.base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	p.history.observe(g, 0, false, reply.Header)
	if reply.StatusCode != http.StatusOK {
		defer reply.Body.Close()
		return nil, readError(reply)
	}
	began, err := strconv.ParseUint(reply.Header.Get("X-Etcd-Index"), 10, 64)
	if err != nil {
		reply.Body.Close()
		return nil, fmt.Errorf("no index in the answer of %s: %w", v.member.url, err)
	}
	v.begun.Store(true)
	return &feed{reply.Body, json.NewDecoder(reply.Body), began}, nil
}

// next waits for an event.
func (f *feed) next() (*client.Response, error) {
	event := &client.Response{}
	if err := f.events.Decode(event); err != nil {
		return nil, err
	}
	if event.Node == nil {
		return nil, errNoNode
	}
	return event, nil
}

// failure is what an error of a visit's request is to who made it within ctx.
func (v *visit) failure(ctx context.Context, err error) error {
	var refusal *refusedError
	switch {
	case ctx.Err() != nil:
		return driver.NotReached(ctx, nil)
	case errors.As(err, &refusal):
		return err
	}
	v.member.pool.history.doubt()
	v.member.pool.Avoid(v.member)
	return driver.NotReached(ctx, err)
}

// readError returns the error that an answer is.
func readError(reply *http.Response) error {
	failed := &serverError{status: reply.StatusCode}
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxErrorBody))
	if err != nil || json.Unmarshal(body, &failed.etcd) != nil { // it is no error of etcd's
		failed.etcd.Message = string(body)
	}
	if reply.StatusCode < http.StatusInternalServerError {
		return &refusedError{failed.status, failed.etcd}
	}
	return failed
}

// follow calls tell with the events after an index, up to another one or until it
// returns false. Each is a request. When there is none at the last index it waits
// for one that is later. It rides out lost connections. When g is over, the history
// that the indexes are of, the error wraps kvdb.ErrWatchRevisionCompacted.
func (p *pool) follow(ctx context.Context, g *generation, path string, recursive bool, after, upTo uint64, tell func(*client.Response) (more bool, err error)) error {
	ctx, cancel := g.bind(ctx)
	defer cancel()
	return p.retryUntil(ctx, func() (more bool, err error) {
		if after >= upTo {
			return false, nil
		}
		event, _, err := p.next(ctx, path, recursive, after)
		if err != nil || event.Node.ModifiedIndex > upTo {
			return false, err
		}
		more, err = tell(event)
		after = event.Node.ModifiedIndex
		return more, err
	})
}

// next waits for the first event after an index. When that fails there was none up to
// settled.
func (p *pool) next(ctx context.Context, path string, recursive bool, after uint64) (event *client.Response, settled uint64, err error) {
	m := p.Current()
	v := m.visit(ctx)
	defer v.end()
	f, err := v.listen(path, recursive, after+1)
	if err == nil {
		defer f.body.Close()
		if event, err = f.next(); err == nil {
			_, _ = io.Copy(io.Discard, f.body) // the connection can be used again
			return event, 0, nil
		}
	}
	return nil, v.settled(), v.failure(ctx, err)
}

// retryUntil calls f until that wants no more. While it fails for lack of a connection it
// is called again, until no majority has answered for patience.
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

// ended returns the error of a call that was tried again until ctx ended, and has failed
// with err before. That was a lost connection, which says nothing when the caller has
// given up.
func ended(ctx context.Context, err error) error {
	if driver.GivenUp(ctx) {
		return driver.WithCause(ctx, nil)
	}
	return err
}

// recover returns when a majority answers, unless none has for patience.
func (p *pool) recover(ctx context.Context) error {
	ctx, cancel := driver.WithTimeLimit(ctx, max(patience-p.Silence(), call.AttemptTimeout))
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
