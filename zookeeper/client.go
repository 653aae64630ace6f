package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/settings"
)

const (
	dialTimeout = 2 * time.Second
	// requestHeader is more than what a request has in front of its length's count.
	requestHeader = 64
	// roleTimeout bounds how long a server may take to say whether it leads.
	roleTimeout = time.Second
)

// client is ZooKeeper's client with what it does not tell. It connects again by
// itself, and asks for a new session when the old one has expired.
type client struct {
	conn    *zk.Conn
	ended   <-chan zk.Event // closed when the last goroutine of conn is over
	servers *addresses
	tls     *settings.TLS // nil without TLS
	once    bool          // it shall not connect again
	// told gets the client's events, in order with replies: what a reply shows has
	// been told before. It must not block.
	told func(zk.Event)
	// refused is called when a server has closed a connection before it answered,
	// though one has answered before. It must not block. It may be nil.
	refused func()

	// rejected is closed when a server has refused the login, with rejection.
	rejected  chan struct{}
	rejection error

	ctx    context.Context // ends with close
	cancel context.CancelFunc

	readings readings
	zxid     atomic.Int64 // the largest of a reply
	dials    atomic.Int64 // connections made so far
	timeout  atomic.Int64 // of the session, a time.Duration

	mu       sync.Mutex // protects what is below
	dialled  bool
	fresh    bool              // the next connection shall have a new session
	failures map[string]error  // by server, since the last session
	socket   net.Conn          // the last one
	login    chan struct{}     // closed when the session has its credentials
	up       chan struct{}     // closed while there is a connection with a session
	isUp     bool              // up is closed
	unsent   *flush            // which can still be joined
	sending  map[string]*flush // by path
	sequence uint64            // of paths of syncs
}

type clientConfig struct {
	servers        *addresses
	sessionTimeout time.Duration
	tls            *settings.TLS
	once           bool
	told           func(zk.Event)
	refused        func() // may be nil
	maxRequest     int    // bytes; 0 for small requests
}

// connect returns a client that is about to connect. credentials may be nil.
func connect(cfg clientConfig, credentials []byte) (*client, error) {
	c := &client{
		servers: cfg.servers, tls: cfg.tls, once: cfg.once, told: cfg.told, refused: cfg.refused,
		login: make(chan struct{}), rejected: make(chan struct{}), up: make(chan struct{}), sending: map[string]*flush{}, failures: map[string]error{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	var err error
	c.conn, c.ended, err = zk.Connect(cfg.servers.get(), cfg.sessionTimeout,
		zk.WithHostProvider(newHosts(c.ctx, cfg.servers)), zk.WithDialer(c.dial), zk.WithEventCallback(c.event), zk.WithLogger(silent{}), zk.WithLogInfo(false),
		zk.WithMaxConnBufferSize(max(cfg.maxRequest, leastMaxRequest)+requestHeader))
	if err != nil {
		c.cancel()
		return nil, err
	}
	if credentials == nil {
		close(c.login)
	} else {
		go c.authenticate(credentials)
	}
	return c, nil
}

// silent is a zk.Logger: a library does not print.
type silent struct{}

func (silent) Printf(string, ...interface{}) {}

// authenticate tells the server who we are. The client repeats that by itself
// whenever it connects again.
func (c *client) authenticate(credentials []byte) {
	for c.ctx.Err() == nil {
		if c.connected(c.ctx) != nil {
			return
		}
		err := c.conn.AddAuth("digest", credentials)
		if err == nil {
			close(c.login)
			return
		}
		if errors.Is(err, zk.ErrAuthFailed) && c.rejection == nil {
			c.rejection = refusal(err)
			close(c.rejected)
		}
	}
}

// admitted waits until a login is accepted or refused, and returns an error when it
// is refused. What comes next finds out that ctx has ended.
func (c *client) admitted(ctx context.Context) error {
	select {
	case <-c.login:
		return nil
	case <-c.rejected:
		return c.rejection
	case <-ctx.Done():
		return nil
	}
}

// errNotConnected: there is no connection to a server.
var errNotConnected = errors.New("not connected")

var errOnce = errors.New("this session is over")

func (c *client) dial(network, address string, _ time.Duration) (net.Conn, error) {
	ctx, cancel := driver.WithTimeLimit(c.ctx, dialTimeout)
	defer cancel()
	c.mu.Lock()
	over := c.once && c.dialled
	c.mu.Unlock()
	if over {
		return nil, errOnce
	}
	server, err := c.choose(ctx, address)
	if err != nil {
		return nil, err
	}
	socket, err := c.connectTo(ctx, network, server)
	if err != nil {
		c.failed(server, err)
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil, errors.Join(c.ctx.Err(), socket.Close())
	}
	c.socket = socket
	c.dials.Add(1)
	c.readings.reset()
	return &tap{Conn: socket, watcher: c, server: server, pingedOnly: c.once, fresh: c.fresh}, nil
}

func (c *client) connectTo(ctx context.Context, network, address string) (net.Conn, error) {
	socket, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil && c.tls != nil {
		socket, err = c.tls.Client(ctx, socket, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotConnected, err)
	}
	return socket, nil
}

// stagger is how long a server may take to answer before another one is asked too.
const stagger = 250 * time.Millisecond

// choose returns the server to connect to: the one at address, or another one when that
// does not answer, or leads. A server that leads answers a sync at once, though it may
// still be about to apply what others have applied and acknowledged; those that follow
// wait until they have applied all of it. A server closes its connections when its role
// changes, and is no good before it has one.
func (c *client) choose(ctx context.Context, address string) (string, error) {
	servers := c.servers.get()
	if len(servers) == 1 {
		return address, nil
	}
	order := []string{address}
	for _, i := range rand.Perm(len(servers)) {
		if servers[i] != address {
			order = append(order, servers[i])
		}
	}
	type answer struct {
		server, mode string
		err          error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(order))
	asked := 0
	next := func() {
		server := order[asked]
		asked++
		go func() {
			ctx, cancel := driver.WithTimeLimit(ctx, roleTimeout)
			defer cancel()
			connect := func(ctx context.Context, address string) (net.Conn, error) { return c.connectTo(ctx, "tcp", address) }
			mode, err := ask(ctx, connect, server)
			answers <- answer{server, mode, err}
		}()
	}
	next()
	tick := time.NewTicker(stagger)
	defer tick.Stop()
	leads, reachable := "", ""
	for heard := 0; heard < len(order); {
		if heard == asked {
			next()
		}
		select {
		case a := <-answers:
			heard++
			switch {
			case a.err != nil:
				c.failed(a.server, a.err)
				if !errors.Is(a.err, errNotServing) && !errors.Is(a.err, errNotConnected) {
					reachable = a.server // but it does not answer that question
				}
			case a.mode != leader: // or it does not tell
				return a.server, nil
			default:
				leads = a.server
				for asked < len(order) {
					next()
				}
			}
		case <-tick.C:
			if asked < len(order) {
				next()
			}
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	if server := cmp.Or(leads, reachable); server != "" {
		return server, nil
	}
	return "", c.failure()
}

// failed notes why a server could not be connected to.
func (c *client) failed(server string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The ends of contexts in it are none that a caller knows.
	c.failures[server] = fmt.Errorf("%s: %v", server, err)
}

// failure returns why no server could be connected to, nil when one was.
func (c *client) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all error
	for _, server := range slices.Sorted(maps.Keys(c.failures)) {
		if all == nil {
			all = c.failures[server]
		} else {
			all = fmt.Errorf("%w; %w", all, c.failures[server])
		}
	}
	return all
}

func (c *client) event(e zk.Event) {
	if e.Type == zk.EventSession {
		c.mu.Lock()
		switch {
		case e.State == zk.StateHasSession && !c.isUp:
			c.isUp, c.dialled = true, true
			close(c.up)
		case e.State == zk.StateDisconnected && c.isUp:
			c.isUp = false
			c.up = make(chan struct{})
		}
		c.mu.Unlock()
	}
	c.told(e)
}

// connected waits for a connection with a session.
func (c *client) connected(ctx context.Context) error {
	c.mu.Lock()
	up := c.up
	c.mu.Unlock()
	select {
	case <-up:
		return nil
	default:
	}
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// await waits until requests can be sent.
func (c *client) await(ctx context.Context) error {
	select {
	case <-c.login:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return c.connected(ctx)
}

// close ends the session and returns when nothing of the client is left.
func (c *client) close() {
	c.conn.Close()
	c.cancel()
	c.mu.Lock()
	if c.socket != nil {
		_ = c.socket.Close() // it may be closed already
	}
	c.mu.Unlock()
	for range c.ended {
	}
}

// renew makes the client begin anew with another session, as one that has seen nothing
// yet.
func (c *client) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh = true
	c.zxid.Store(0)
	if c.socket != nil {
		_ = c.socket.Close() // it may be closed already
	}
}

func (c *client) granted(timeout time.Duration, fresh bool) {
	c.timeout.Store(int64(timeout))
	c.mu.Lock()
	clear(c.failures)
	c.fresh = c.fresh && !fresh
	c.mu.Unlock()
	if !fresh {
		return
	}
	// ZooKeeper's client does not know that the old session is over.
	c.told(zk.Event{Type: zk.EventSession, State: zk.StateExpired})
}

func (c *client) unanswered(server string, err error) {
	if c.ctx.Err() != nil {
		return
	}
	c.failed(server, fmt.Errorf("no session: %w", err))
	if c.refused != nil && c.zxid.Load() > 0 {
		c.refused()
	}
}

func (c *client) asked(xid uint32, path []byte) { c.readings.sent(xid, path) }

func (c *client) reached(xid uint32, zxid int64) {
	c.readings.replied(xid, zxid)
	if zxid > c.zxid.Load() { // it has one caller
		c.zxid.Store(zxid)
	}
}

// flush is a sync: what is read behind it on the same session is not older than
// the moment when it was sent.
type flush struct {
	sent chan struct{} // closed when it is on its way
	done chan struct{} // closed when it was answered, or is known not to be
	err  error         // of it, to be read when done is closed
}

// flush returns a sync that is not sent yet. Readers that come at the same time
// share one.
func (c *client) flush() *flush {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unsent != nil {
		return c.unsent
	}
	f := &flush{sent: make(chan struct{}), done: make(chan struct{})}
	c.sequence++
	// The server does not look for the path.
	path := "/" + strconv.FormatUint(c.sequence, 36)
	c.unsent, c.sending[path] = f, f
	go func() {
		_, f.err = c.conn.Sync(path)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.sending, path)
		if c.unsent == f {
			c.unsent = nil
		}
		close(f.done)
	}()
	return f
}

func (c *client) syncSent(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.sending[path]; f != nil && c.unsent == f {
		c.unsent = nil
		close(f.sent)
	}
}

// begun waits until reads can be sent behind the flush.
func (f *flush) begun(ctx context.Context) error {
	select {
	case <-f.sent:
		return nil
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end waits for the answer.
func (f *flush) end(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
