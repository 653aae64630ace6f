package etcdv2

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
)

// connection is a connection to a member. It notes in the history when a peer ends it, which
// the HTTP client does not report when no request was under way. Whoever has read from a store
// that was restored since has lost at least that connection.
type connection struct {
	net.Conn
	pool   *pool
	broken atomic.Bool // the end was noted
	closed atomic.Bool
}

// dial makes a connection.
func (p *pool) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive}
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if p.connections.Add(1) == 1 {
		// None was left, so none has shown whether the store was restored meanwhile.
		p.history.doubt()
	}
	return &connection{Conn: c, pool: p}, nil
}

// Read implements net.Conn.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.note(err)
	return n, err
}

// Write implements net.Conn.
func (c *connection) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.note(err)
	return n, err
}

// note notes an error, unless this side has closed the connection.
func (c *connection) note(err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) && c.broken.CompareAndSwap(false, true) {
		c.pool.history.doubt()
	}
}

// Close implements net.Conn.
func (c *connection) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.pool.connections.Add(-1)
	}
	return c.Conn.Close()
}
