package etcdv2

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"go.etcd.io/etcd/client/v2"
)

// memberClient sends requests to one member, one at a time. It records what the client
// library does not return: whether a request got a connection, and the reply of a server
// that failed.
type memberClient struct {
	keys    client.KeysAPI
	members client.MembersAPI
	users   client.AuthUserAPI
	roles   client.AuthRoleAPI

	base  http.RoundTripper
	pool  *pool
	trace *httptrace.ClientTrace // sets sent
	// State of the current request:
	ctx     context.Context
	begunIn *generation // the generation of the store's history, with its index when the request began
	floor   uint64
	begun   func() // called when the reply begins
	sent    atomic.Bool
	status  atomic.Int32          // of the reply; 0 before it
	failure atomic.Pointer[error] // of the round trip
}

// take returns an unused client.
func (m *member) take() (*memberClient, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.idle); n > 0 {
		c := m.idle[n-1]
		m.idle = m.idle[:n-1]
		return c, nil
	}
	c := &memberClient{base: m.pool.base, pool: m.pool}
	c.trace = &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { c.sent.Store(true) }}
	api, err := client.New(client.Config{
		Endpoints: []string{m.url}, Transport: c, Username: m.pool.user, Password: m.pool.password,
	})
	if err != nil {
		return nil, err
	}
	c.keys, c.members = client.NewKeysAPI(api), client.NewMembersAPI(api)
	c.users, c.roles = client.NewAuthUserAPI(api), client.NewAuthRoleAPI(api)
	return c, nil
}

// put gives back a client that take has returned.
func (m *member) put(c *memberClient) {
	c.ctx, c.begun, c.begunIn = nil, nil, nil
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.idle) < idleConns {
		m.idle = append(m.idle, c)
	}
}

// begin prepares the client for a request.
func (c *memberClient) begin(ctx context.Context, begun func()) {
	c.ctx, c.begun = ctx, begun
	c.begunIn, c.floor = c.pool.history.now()
	c.sent.Store(false)
	c.status.Store(0)
	c.failure.Store(nil)
}

// explain returns the error that made a request fail, which the client library's error may
// hide.
func (c *memberClient) explain(err error) error {
	if err == nil {
		return nil
	}
	if failure := c.failure.Load(); failure != nil {
		return *failure
	}
	isCut := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if status := int(c.status.Load()); status >= http.StatusBadRequest && !isCut {
		return &refusedError{status, err}
	}
	return err
}

// RoundTrip implements client.CancelableTransport.
func (c *memberClient) RoundTrip(r *http.Request) (*http.Response, error) {
	reply, err := c.base.RoundTrip(r.WithContext(httptrace.WithClientTrace(c.ctx, c.trace)))
	if err == nil {
		c.begun()
	}
	if err == nil && reply.StatusCode >= http.StatusInternalServerError {
		err = readError(reply)
		reply.Body.Close()
	}
	if err != nil {
		c.failure.Store(&err)
		return nil, err
	}
	c.pool.history.observe(c.begunIn, c.floor, isLinearizable(r), reply.Header)
	c.status.Store(int32(reply.StatusCode))
	return reply, nil
}

// CancelRequest implements client.CancelableTransport. The client library does
// not call it.
func (c *memberClient) CancelRequest(*http.Request) {}
