package etcdv2

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"go.etcd.io/etcd/client/v2"
)

// line is a client of one member, for one request at a time. It knows more of
// that than the client library tells: whether it got a connection, and what a
// failing server said.
type line struct {
	keys    client.KeysAPI
	members client.MembersAPI
	users   client.AuthUserAPI
	roles   client.AuthRoleAPI

	base  http.RoundTripper
	pool  *pool
	trace *httptrace.ClientTrace // sets sent
	// Of the request that is under way:
	ctx     context.Context
	begunIn *generation // of the store's history, with the index at the time
	floor   uint64
	begun   func() // called when the answer begins
	sent    atomic.Bool
	status  atomic.Int32          // of the answer, 0 before
	failure atomic.Pointer[error] // of the round trip
}

// line returns one that is not in use.
func (m *member) line() (*line, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.idle); n > 0 {
		l := m.idle[n-1]
		m.idle = m.idle[:n-1]
		return l, nil
	}
	l := &line{base: m.pool.base, pool: m.pool}
	l.trace = &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { l.sent.Store(true) }}
	c, err := client.New(client.Config{
		Endpoints: []string{m.url}, Transport: l, Username: m.pool.user, Password: m.pool.password,
	})
	if err != nil {
		return nil, err
	}
	l.keys, l.members = client.NewKeysAPI(c), client.NewMembersAPI(c)
	l.users, l.roles = client.NewAuthUserAPI(c), client.NewAuthRoleAPI(c)
	return l, nil
}

// put gives a line back.
func (m *member) put(l *line) {
	l.ctx, l.begun, l.begunIn = nil, nil, nil
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.idle) < idleConns {
		m.idle = append(m.idle, l)
	}
}

// begin makes the line ready for a request.
func (l *line) begin(ctx context.Context, begun func()) {
	l.ctx, l.begun = ctx, begun
	l.begunIn, l.floor = l.pool.history.now()
	l.sent.Store(false)
	l.status.Store(0)
	l.failure.Store(nil)
}

// explain returns why a request failed, in place of what the client library made
// of that.
func (l *line) explain(err error) error {
	if err == nil {
		return nil
	}
	if failure := l.failure.Load(); failure != nil {
		return *failure
	}
	isCut := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if status := int(l.status.Load()); status >= http.StatusBadRequest && !isCut {
		return &refusedError{status, err}
	}
	return err
}

// maxErrorBody bounds what is read of an answer that is an error, in bytes.
const maxErrorBody = 64 << 10

// RoundTrip implements client.CancelableTransport.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	reply, err := l.base.RoundTrip(r.WithContext(httptrace.WithClientTrace(l.ctx, l.trace)))
	if err == nil {
		l.begun()
	}
	if err == nil && reply.StatusCode >= http.StatusInternalServerError {
		err = readError(reply)
		reply.Body.Close()
	}
	if err != nil {
		l.failure.Store(&err)
		return nil, err
	}
	l.pool.history.observe(l.begunIn, l.floor, isLinearizable(r), reply.Header)
	l.status.Store(int32(reply.StatusCode))
	return reply, nil
}

// CancelRequest implements client.CancelableTransport. The client library does
// not call it.
func (l *line) CancelRequest(*http.Request) {}
