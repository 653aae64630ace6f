// Package conn holds a session with ZooKeeper and sends requests in it.
//
// [Conn] wraps ZooKeeper's client and adds what that does not offer: requests that obey a
// context ([Conn.Run]), syncs that readers share ([Conn.StartSync]), the zxids of replies
// ([Conn.Zxid], [Conn.TrackZxid]), the timeout of the session, the reasons why no server
// can be reached, and servers that can be replaced ([Servers]). It prefers servers that
// follow to the one that leads.
//
// It sees all messages of both directions because the client dials through it: see tap.
package conn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/settings"
)

// requestHeader is more than the number of bytes that a request has in addition to what
// Config.MaxRequest counts.
const requestHeader = 64

// Config describes what to connect to, and how.
type Config struct {
	Servers        *Servers
	SessionTimeout time.Duration // the server may grant less
	TLS            *settings.TLS // nil: no TLS
	Credentials    []byte        // "user:password" for digest authentication, or nil
	MaxRequest     int           // size in bytes of the largest request

	// SingleConnection: the session ends with its first connection.
	SingleConnection bool

	// Hooks, which may be nil, observe connections, as those of Backend.
	Hooks   *driver.Hooks
	Backend string

	// OnEvent receives the client's events. An event comes before the reply that shows the
	// change. It must not block.
	OnEvent func(zk.Event)
	// OnRefused is called when a server has closed a connection without granting a session,
	// although a server has answered before. It must not block. It may be nil.
	OnRefused func()
}

// Conn is a session. It reconnects after the loss of a connection, and begins a new
// session when the old one has expired.
type Conn struct {
	cfg    Config
	client *zk.Conn
	ended  <-chan zk.Event // closed when the client's last goroutine has ended

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	authenticated chan struct{} // closed when a server has accepted the credentials
	denied        chan struct{} // closed when a server has refused them, with denial
	denial        error

	trackers    *zxidTrackers
	zxid        atomic.Int64                 // the largest zxid of a reply
	connections atomic.Int64                 // made so far
	server      atomic.Pointer[call.Address] // of the last connection
	timeout     atomic.Int64                 // of the session, a time.Duration

	mu         sync.Mutex // protects what is below
	hadSession bool
	newSession bool              // the next connection is to have a new session
	failures   map[string]string // why a server could not be reached since the last session, by server
	tap        *tap              // the last connection, nil before the first one
	connected  chan struct{}     // closed while a connection with a session exists
	isUp       bool              // connected is closed
	unsent     *Sync             // not sent yet, so that other readers can share it
	syncs      map[string]*Sync  // not answered yet, by path
	lost       error             // of the last connection that was lost
	lastSync   uint64            // makes the paths of syncs unique
}

// Open returns a Conn that is about to connect.
func Open(cfg Config) (*Conn, error) {
	c := &Conn{
		cfg: cfg, authenticated: make(chan struct{}), denied: make(chan struct{}), connected: make(chan struct{}),
		syncs: map[string]*Sync{}, failures: map[string]string{}, lost: errNotConnected,
		trackers: &zxidTrackers{byPath: map[string]map[*ZxidTracker]struct{}{}, paths: map[uint32]string{}},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	var err error
	c.client, c.ended, err = zk.Connect(cfg.Servers.get(), cfg.SessionTimeout,
		zk.WithHostProvider(newHostProvider(c.ctx, cfg.Servers)), zk.WithDialer(c.dial), zk.WithEventCallback(c.onEvent),
		zk.WithLogger(noLogger{}), zk.WithLogInfo(false), zk.WithMaxConnBufferSize(cfg.MaxRequest+requestHeader))
	if err != nil {
		c.cancel()
		return nil, err
	}
	if cfg.Credentials == nil {
		close(c.authenticated)
	} else {
		go c.authenticate()
	}
	return c, nil
}

// noLogger is a zk.Logger that discards everything.
type noLogger struct{}

func (noLogger) Printf(string, ...interface{}) {}

// authenticate sends the credentials until a server accepts them. The client sends
// them again on each later connection.
func (c *Conn) authenticate() {
	for c.ctx.Err() == nil {
		if c.awaitConnection(c.ctx) != nil {
			return
		}
		err := c.client.AddAuth("digest", c.cfg.Credentials)
		if err == nil {
			close(c.authenticated)
			return
		}
		if errors.Is(err, zk.ErrAuthFailed) && c.denial == nil {
			c.denial = withSentinel(err)
			close(c.denied)
		}
	}
}

// Authenticated waits until a server has accepted or refused the credentials, and
// returns an error when it has refused them. It returns nil when ctx ends.
func (c *Conn) Authenticated(ctx context.Context) error {
	select {
	case <-c.authenticated:
		return nil
	case <-c.denied:
		return c.denial
	case <-ctx.Done():
		return nil
	}
}

// Ready waits until requests can be sent: there is a connection, and the session has its
// credentials.
func (c *Conn) Ready(ctx context.Context) error {
	select {
	case <-c.authenticated:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return c.awaitConnection(ctx)
}

// awaitConnection waits for a connection with a session.
func (c *Conn) awaitConnection(ctx context.Context) error {
	c.mu.Lock()
	connected := c.connected
	c.mu.Unlock()
	select {
	case <-connected:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Client returns ZooKeeper's client, for use in a [Request].
func (c *Conn) Client() *zk.Conn { return c.client }

// Zxid returns the largest zxid of a reply.
func (c *Conn) Zxid() int64 { return c.zxid.Load() }

// Connections returns how many connections were made so far. When it has not changed
// between two replies, both come from the same server.
func (c *Conn) Connections() int64 { return c.connections.Load() }

// Server returns the server of the last connection, or nil before the first one.
func (c *Conn) Server() fmt.Stringer {
	if server := c.server.Load(); server != nil {
		return server
	}
	return nil
}

// Lost returns why the last connection was lost.
func (c *Conn) Lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// onLost is called with the error of a connection.
func (c *Conn) onLost(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = err
}

// Timeout returns the timeout that the server has granted to the session.
func (c *Conn) Timeout() time.Duration { return time.Duration(c.timeout.Load()) }

// Renew replaces the session by a new one, which accepts a server with smaller zxids than
// those seen so far.
func (c *Conn) Renew() {
	c.mu.Lock()
	c.newSession = true
	c.zxid.Store(0)
	c.mu.Unlock()
	c.disconnect()
}

// Close ends the session. When it returns, the client has no goroutines any more.
func (c *Conn) Close() {
	c.client.Close()
	c.cancel()
	c.disconnect()
	for range c.ended {
	}
}

// disconnect closes the last connection.
func (c *Conn) disconnect() {
	c.mu.Lock()
	last := c.tap
	c.mu.Unlock()
	if last != nil {
		_ = last.Close() // it may be closed already
	}
}

// onEvent receives the client's events.
func (c *Conn) onEvent(e zk.Event) {
	if e.Type == zk.EventSession {
		c.mu.Lock()
		switch {
		case e.State == zk.StateHasSession && !c.isUp:
			c.isUp, c.hadSession = true, true
			close(c.connected)
		case e.State == zk.StateDisconnected && c.isUp:
			c.isUp = false
			c.connected = make(chan struct{})
		}
		c.mu.Unlock()
	}
	c.cfg.OnEvent(e)
}

// onSession is called when a server has granted a session. isNew reports whether it is another one
// than the client has asked for.
func (c *Conn) onSession(timeout time.Duration, isNew bool) {
	c.timeout.Store(int64(timeout))
	c.mu.Lock()
	clear(c.failures)
	c.newSession = c.newSession && !isNew
	c.mu.Unlock()
	if isNew { // ZooKeeper's client does not know that the old session is over
		c.cfg.OnEvent(zk.Event{Type: zk.EventSession, State: zk.StateExpired})
	}
}

// onReply is called with the xid and the zxid of each reply.
func (c *Conn) onReply(xid uint32, zxid int64) {
	c.trackers.onReply(xid, zxid)
	if zxid > c.zxid.Load() { // replies are read one by one
		c.zxid.Store(zxid)
	}
}

// onRequest is called with the xid and the path of each read and create before it is sent.
func (c *Conn) onRequest(xid uint32, path []byte) { c.trackers.onRequest(xid, path) }
