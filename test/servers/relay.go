package servers

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// acceptor listens on an address while it is switched on.
type acceptor struct {
	addr  string
	serve func(net.Conn) // called in a goroutine of wg for each connection
	wg    *sync.WaitGroup
	ln    net.Listener // nil while off
}

// set switches it on or off. It is not safe for concurrent use.
func (a *acceptor) set(on bool) error {
	if on == (a.ln != nil) {
		return nil
	}
	if !on {
		ln := a.ln
		a.ln = nil
		return ln.Close()
	}
	ln, err := net.Listen("tcp", a.addr)
	if err != nil {
		return err
	}
	a.ln = ln
	a.wg.Go(func() {
		for {
			client, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				a.wg.Go(func() { a.serve(client) })
			}
		}
	})
	return nil
}

// conn is a connection on a link. It has two sides: the connection that the link accepted, and
// the one that it dialled.
type conn struct {
	ctx context.Context // ends with the connection
	end context.CancelFunc

	mu    sync.Mutex // protects sides
	sides []net.Conn
}

// add makes abort close a side. It does so at once if there was an abort.
func (c *conn) add(side net.Conn) {
	c.mu.Lock()
	c.sides = append(c.sides, side)
	c.mu.Unlock()
	if c.ctx.Err() != nil {
		c.abort()
	}
}

// abort resets the connection on both sides.
func (c *conn) abort() {
	for _, side := range c.release() {
		_ = side.(*net.TCPConn).SetLinger(0) // Close sends a reset
		_ = side.Close()
	}
}

// release ends the connection and returns the open sides to the caller.
func (c *conn) release() []net.Conn {
	c.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	sides := c.sides
	c.sides = nil
	return sides
}

// carry connects client with target and returns when the connection has ended. greet, unless
// nil, is called before any data is passed on, when it is known whether target can be reached.
func (l *Link) carry(ctx context.Context, client net.Conn, target string, greet func(dialled error) error) {
	c := &conn{}
	c.ctx, c.end = context.WithCancel(ctx)
	c.add(client)
	defer c.abort()
	defer context.AfterFunc(ctx, c.abort)()
	l.mu.Lock()
	l.conns[c] = struct{}{}
	refused := l.state == cut
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
	}()

	server, err := l.dial(c.ctx, target, refused)
	if greet != nil {
		err = errors.Join(err, greet(err))
	}
	if server != nil {
		c.add(server)
	}
	if err != nil {
		return
	}
	there := make(chan error)
	go func() { there <- l.copy(c, server, client) }()
	back := l.copy(c, client, server)
	if err := <-there; err == nil && back == nil {
		for _, side := range c.release() {
			_ = side.Close()
		}
	}
}

func (l *Link) dial(ctx context.Context, target string, refused bool) (net.Conn, error) {
	if refused {
		return nil, syscall.ECONNREFUSED
	}
	if !l.pass(ctx) {
		return nil, ctx.Err()
	}
	return new(net.Dialer).DialContext(ctx, "tcp", target)
}

// copy passes on the data of src, and its end. An error ends the whole connection.
func (l *Link) copy(c *conn, dst, src net.Conn) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := src.Read(buffer)
		if !l.pass(c.ctx) {
			return c.ctx.Err()
		}
		if n > 0 {
			if _, werr := dst.Write(buffer[:n]); werr != nil {
				err = werr
			}
		}
		switch {
		case err == io.EOF:
			return dst.(*net.TCPConn).CloseWrite()
		case err != nil:
			c.abort()
			return err
		}
	}
}
