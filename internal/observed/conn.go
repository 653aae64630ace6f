// Package observed tells hooks about the connections of a store.
package observed

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/portworx/kvdb/driver"
)

// Conn tells hooks, which may be nil, that the store backend has made the connection c to
// endpoint, host:port. It returns c, and tells them when that is closed.
func Conn(hooks *driver.Hooks, backend, endpoint string, c net.Conn) net.Conn {
	return &conn{Conn: c, lost: hooks.Connected(backend, endpoint)}
}

// conn is a connection that hooks know.
type conn struct {
	net.Conn
	lost  func(cause error)
	cause atomic.Pointer[error] // of the first Read or Write that has failed
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.note(err)
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.note(err)
	}
	return n, err
}

func (c *conn) note(err error) { c.cause.CompareAndSwap(nil, &err) }

// Close implements net.Conn.
func (c *conn) Close() error {
	var cause error
	if failed := c.cause.Load(); failed != nil {
		cause = *failed
	}
	err := c.Conn.Close()
	c.lost(cause)
	return err
}

// Transport makes hooks, which may be nil, observe the connections of the store backend that
// transport makes. transport must have a DialContext.
func Transport(hooks *driver.Hooks, backend string, transport *http.Transport) {
	transport.DialContext = dialing(hooks, backend, transport.DialContext)
	if transport.DialTLSContext != nil {
		transport.DialTLSContext = dialing(hooks, backend, transport.DialTLSContext)
	}
}

type dial = func(ctx context.Context, network, address string) (net.Conn, error)

func dialing(hooks *driver.Hooks, backend string, f dial) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := f(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return Conn(hooks, backend, address, c), nil
	}
}
