package etcdv2

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
)

const (
	// quietTime is how long one request waits for an event. The next one begins at
	// the index that the store had when this one began, so that the server's
	// history still reaches back to where a watch is.
	quietTime = 10 * time.Second
	// The server keeps unsentEvents for a request, and leaves out what comes when
	// there are more. After so many a pause of doubtTime is reason to ask anew.
	unsentEvents = 100
	doubtTime    = 100 * time.Millisecond
	// majorityAge is how long ago a majority must have answered at the most when a
	// request begins to wait for events: a member that is cut off from the others
	// would have none.
	majorityAge = 5 * time.Second
	// patience is how long a watch, or who waits for a lock, goes without a reply.
	patience = 50 * time.Second
)

var errQuiet = errors.New("there was no event for a while")

// follower gets the events on a node, or on what is below it, too. Unlike the
// watcher of the client library it makes one request for many of them.
type follower struct {
	pool      *pool
	path      string
	recursive bool
	// after is an index up to which all events were told.
	after uint64
	// tell is called with each event, and returns whether more are wanted.
	tell func(*client.Response) bool
}

// follow calls tell with the events after an index, until it returns false. It
// rides out lost connections, until nobody has answered for a while. It returns
// an index up to which all events were told.
func (s *store) follow(ctx context.Context, path string, recursive bool, after uint64, tell func(*client.Response) bool) (uint64, error) {
	f := &follower{s.pool, path, recursive, after, tell}
	backoff := newBackoff()
	for {
		if s.pool.silence() > majorityAge {
			if err := s.pool.recover(ctx); err != nil {
				return f.after, err
			}
		}
		before := f.after
		more, err := f.request(ctx)
		switch {
		case err == nil && !more, err != nil && !errors.Is(err, kvdb.ErrNoConnection):
			return f.after, err
		case err == nil, f.after > before:
			backoff.Reset()
		}
		if err != nil && backoff.Wait(ctx) != nil {
			return f.after, context.Cause(ctx)
		}
	}
}

// request makes one request, and returns whether more events are wanted.
func (f *follower) request(ctx context.Context) (more bool, err error) {
	m, _ := f.pool.current()
	following, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(attemptTimeout, func() { cancel(errNoAnswer) })
	defer late.Stop()
	reply, err := f.pool.base.RoundTrip(f.httpRequest(following, m.url))
	if err == nil {
		defer reply.Body.Close()
		more, err = f.read(reply, late, cancel)
	}
	switch {
	case err == nil || codeOf(err) != 0:
		return more, err
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case context.Cause(following) == errQuiet:
		return true, nil
	}
	f.pool.avoid(m)
	return true, notReached(ctx, err)
}

func (f *follower) httpRequest(ctx context.Context, endpoint string) *http.Request {
	query := url.Values{
		"wait": {"true"}, "stream": {"true"}, "recursive": {strconv.FormatBool(f.recursive)},
		"waitIndex": {strconv.FormatUint(f.after+1, 10)},
	}
	path := url.URL{Path: "/v2/keys" + f.path, RawQuery: query.Encode()}
	// The parts of the URL are good: the endpoint was checked, the rest is escaped.
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+path.String(), nil)
	if f.pool.user != "" {
		r.SetBasicAuth(f.pool.user, f.pool.password)
	}
	return r
}

// read tells the events of one request. timer runs until it begins; cancel ends
// the request.
func (f *follower) read(reply *http.Response, timer *time.Timer, cancel context.CancelCauseFunc) (more bool, err error) {
	timer.Stop()
	if reply.StatusCode != http.StatusOK {
		return false, readError(reply)
	}
	quiet := time.AfterFunc(quietTime, func() { cancel(errQuiet) })
	defer quiet.Stop()
	// The server's index when the request began. A member that lags behind has a
	// smaller one.
	began, _ := strconv.ParseUint(reply.Header.Get("X-Etcd-Index"), 10, 64)
	events := json.NewDecoder(reply.Body)
	for n := 1; ; n++ {
		event := &client.Response{}
		if err := events.Decode(event); err != nil {
			if n == 1 { // none of the history is wanted
				f.after = max(f.after, began)
			}
			if errors.Is(err, io.EOF) { // the server limits the time of a request
				return true, nil
			}
			return true, err
		}
		index := event.Node.ModifiedIndex
		if index <= f.after { // some are sent twice
			continue
		}
		f.after = index
		if !f.tell(event) {
			return false, nil
		}
		switch {
		case index <= began: // one of the history comes alone
			return true, nil
		case n >= unsentEvents:
			quiet.Reset(doubtTime)
		default:
			quiet.Reset(quietTime)
		}
	}
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

// recover returns when a majority answers, unless none has for patience.
func (p *pool) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(patience-p.silence(), attemptTimeout))
	defer cancel()
	backoff := newBackoff()
	for {
		err := p.ping(ctx)
		if !errors.Is(err, kvdb.ErrNoConnection) || backoff.Wait(ctx) != nil {
			return err
		}
	}
}
