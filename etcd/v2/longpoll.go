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
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
)

const (
	// serverBuffer is the number of events that the server buffers for a request. When
	// there are more it drops events. So after that many events, a pause of pauseTime is a
	// reason to make a new request.
	serverBuffer = 100
	pauseTime    = 100 * time.Millisecond
)

var (
	// errMayMiss says that the server may have dropped events.
	errMayMiss = errors.New("there were many events, and then none")
	// errDoubted says that the index from which to wait may be of another history.
	errDoubted = errors.New("a connection was lost before the member waited for events")
)

// sameHistory returns a check for listen: the index from which to wait is of the history g.
func (p *pool) sameHistory(g *generation) func(context.Context) error {
	return func(ctx context.Context) error {
		err := p.verify(ctx)
		if now, _ := p.history.now(); err == nil && now != g {
			err = errDoubted
		}
		return err
	}
}

// notDoubtedSince returns a check for listen: no connection was lost since a time at which the
// index from which to wait was of the history.
func (p *pool) notDoubtedSince(seen sight) func(context.Context) error {
	return func(context.Context) error {
		if !p.history.holds(seen) {
			return errDoubted
		}
		return nil
	}
}

// longPoll is a request that waits for events from a member. The request alone does not
// show whether there are no events or the member has failed, nor up to which index there
// were no events. The heartbeats of the member do.
type longPoll struct {
	member *member
	// ctx ends with cause driver.ErrTimeLimit when a heartbeat fails.
	ctx    context.Context
	cancel context.CancelCauseFunc
	begun  atomic.Bool // the answer has begun
	// observer is told when the request is answered and when it fails, unless it is nil.
	observer *driver.WatchObserver

	mu sync.Mutex // protects indexes
	// indexes has the index of the member at each heartbeat since the last event, but not
	// more than the last settleBeats.
	indexes []uint64
}

// longPoll returns a long poll, which its caller must end.
func (m *member) longPoll(ctx context.Context, o *driver.WatchObserver) *longPoll {
	l := &longPoll{member: m, observer: o}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.longPolls[l] = struct{}{}
	if len(m.longPolls) == 1 {
		var heartbeat context.Context
		heartbeat, m.endHeartbeat = context.WithCancel(m.pool.lifetime)
		if !m.pool.launch(func() { m.heartbeat(heartbeat) }) {
			l.cancel(kvdb.ErrClosed)
		}
	}
	return l
}

func (l *longPoll) end() {
	l.cancel(nil)
	l.member.mu.Lock()
	defer l.member.mu.Unlock()
	delete(l.member.longPolls, l)
	if len(l.member.longPolls) == 0 {
		l.member.endHeartbeat()
	}
}

// noteHeartbeat notes the index of the member at a heartbeat.
func (l *longPoll) noteHeartbeat(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.indexes) == settleBeats {
		l.indexes = l.indexes[1:]
	}
	l.indexes = append(l.indexes, index)
}

// noteEvent notes that an event has arrived.
func (l *longPoll) noteEvent() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.indexes = nil
}

// settled returns an index up to which all events have arrived, or 0. It assumes that the
// connection ends at the member: behind a proxy it may be dead.
func (l *longPoll) settled() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.indexes) < settleBeats {
		return 0
	}
	return l.indexes[0]
}

// eventStream is the answer to a request for events.
type eventStream struct {
	body   io.ReadCloser
	events *json.Decoder
	began  uint64 // the member's index when the answer began
}

// listen requests the first event from an index on or, if that is 0, all events from now
// on. They are the events of the node at path and, if recursive, of the nodes below it. It
// calls check, unless that is nil, when the member waits: a store that is restored later ends
// the answer. A check before would not do, because the request may make a connection, and even
// always does behind a proxy that closes each one.
func (l *longPoll) listen(path string, recursive bool, from uint64, check func(context.Context) error) (*eventStream, error) {
	p := l.member.pool
	query := url.Values{"wait": {"true"}, "recursive": {strconv.FormatBool(recursive)}}
	if from == 0 {
		query.Set("stream", "true")
	} else {
		query.Set("waitIndex", strconv.FormatUint(from, 10))
	}
	u := url.URL{Path: "/v2/keys" + path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(l.ctx, http.MethodGet, l.member.url+u.String(), nil)
	if err != nil {
		return nil, err
	}
	if p.user != "" {
		request.SetBasicAuth(p.user, p.password)
	}
	g, _ := p.history.now()
	late := time.AfterFunc(call.AttemptTimeout, func() { l.cancel(driver.ErrTimeLimit) })
	reply, err := p.base.RoundTrip(request)
	late.Stop()
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
		return nil, fmt.Errorf("no index in the answer of %s: %w", l.member.url, err)
	}
	if check != nil {
		if err := check(l.ctx); err != nil {
			reply.Body.Close()
			return nil, err
		}
	}
	l.begun.Store(true)
	l.observer.Resumed()
	return &eventStream{reply.Body, json.NewDecoder(reply.Body), began}, nil
}

// next waits for an event.
func (s *eventStream) next() (*client.Response, error) {
	event := &client.Response{}
	if err := s.events.Decode(event); err != nil {
		return nil, err
	}
	if event.Node == nil {
		return nil, errNoNode
	}
	return event, nil
}

// read adds the events of s to a queue until there are no more, and returns the reason.
func (l *longPoll) read(s *eventStream, events *queue[*client.Response]) error {
	pause := time.AfterFunc(pauseTime, func() { l.cancel(errMayMiss) })
	defer pause.Stop()
	for n := 0; ; n++ {
		if n < serverBuffer {
			pause.Stop()
		} else {
			pause.Reset(pauseTime)
		}
		event, err := s.next()
		switch {
		case context.Cause(l.ctx) == errMayMiss:
			return errMayMiss
		case err != nil:
			return err
		}
		l.noteEvent()
		events.add(event)
	}
}

// failure returns the error of a call, whose context is ctx, for an error of its long
// poll. If the connection was lost it makes another member the current one.
func (l *longPoll) failure(ctx context.Context, err error) error {
	var refusal *refusedError
	switch {
	case ctx.Err() != nil:
		return driver.NotReached(ctx, nil)
	case errors.As(err, &refusal):
		return err
	case err == errDoubted: // the member serves
		return driver.NotReached(ctx, err)
	}
	l.member.pool.history.doubt()
	l.member.pool.Avoid(l.member)
	if l.ctx.Err() != nil {
		err = context.Cause(l.ctx)
	}
	err = driver.NotReached(ctx, err)
	l.observer.Interrupted(err)
	return err
}
