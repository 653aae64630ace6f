package conn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/observed"
)

const (
	dialTimeout = 2 * time.Second
	// modeTimeout bounds how long a server may take to return its mode.
	modeTimeout = time.Second
	// stagger is how long a server may take to answer before another one is asked too.
	stagger = 250 * time.Millisecond
)

var (
	errNotConnected = errors.New("not connected")
	errSessionOver  = errors.New("this session is over")
	// errNotServing is the error of a server that is not part of an ensemble with a leader.
	errNotServing = errors.New("the server does not serve at the moment")
)

// dial implements zk.Dialer.
func (c *Conn) dial(network, address string, _ time.Duration) (net.Conn, error) {
	ctx, cancel := driver.WithTimeLimit(c.ctx, dialTimeout)
	defer cancel()
	c.mu.Lock()
	over := c.cfg.SingleConnection && c.hadSession
	c.mu.Unlock()
	if over {
		return nil, errSessionOver
	}
	server, err := c.choose(ctx, address)
	if err != nil {
		return nil, err
	}
	socket, err := c.connect(ctx, network, server)
	if err != nil {
		c.addFailure(server, err)
		return nil, err
	}
	made := observed.Conn(c.cfg.Hooks, c.cfg.Backend, server, socket)
	t := c.use(server, made)
	if t == nil {
		return nil, errors.Join(c.ctx.Err(), made.Close())
	}
	return t, nil
}

// use returns the tap of a connection to server, which is the last one from now on. It
// returns nil after Close.
func (c *Conn) use(server string, made net.Conn) *tap {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil
	}
	c.tap = &tap{Conn: made, conn: c, server: server, pingsOnly: c.cfg.SingleConnection, newSession: c.newSession}
	c.connections.Add(1)
	chosen := call.Address(server)
	c.server.Store(&chosen)
	c.trackers.disconnected()
	return c.tap
}

// connect makes a connection to the server at address, with TLS if that is configured.
func (c *Conn) connect(ctx context.Context, network, address string) (net.Conn, error) {
	socket, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil && c.cfg.TLS != nil {
		socket, err = c.cfg.TLS.Client(ctx, socket, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotConnected, err)
	}
	return socket, nil
}

// choose returns the server to connect to: the one at address, or another one when that
// does not answer, or leads. A server that leads answers a sync at once, although it may
// still be about to apply what others have applied and acknowledged. Those that follow
// wait until they have applied all of it. A server without a role is never chosen, because it
// closes its connections when its role changes.
func (c *Conn) choose(ctx context.Context, address string) (string, error) {
	servers := c.cfg.Servers.get()
	if len(servers) == 1 {
		return address, nil
	}
	order := []string{address}
	for _, i := range rand.Perm(len(servers)) {
		if servers[i] != address {
			order = append(order, servers[i])
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan modeAnswer, len(order))
	asked := 0
	askNext := func() {
		if asked < len(order) {
			server := order[asked]
			asked++
			go func() { answers <- c.askMode(ctx, server) }()
		}
	}
	tick := time.NewTicker(stagger)
	defer tick.Stop()
	leads, reachable := "", ""
	for heard := 0; heard < len(order); {
		if heard == asked {
			askNext()
		}
		select {
		case a := <-answers:
			heard++
			switch {
			case a.err == nil && a.mode != Leader: // it follows, or does not return a mode
				return a.server, nil
			case a.err == nil:
				leads = a.server
				for range order {
					askNext()
				}
			default:
				c.addFailure(a.server, a.err)
				if !errors.Is(a.err, errNotServing) && !errors.Is(a.err, errNotConnected) {
					reachable = a.server // but it does not answer the command
				}
			}
		case <-tick.C:
			askNext()
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	if server := cmp.Or(leads, reachable); server != "" {
		return server, nil
	}
	return "", c.Failure()
}

// modeAnswer is what a server has answered when it was asked for its mode.
type modeAnswer struct {
	server, mode string
	err          error
}

func (c *Conn) askMode(ctx context.Context, server string) modeAnswer {
	ctx, cancel := driver.WithTimeLimit(ctx, modeTimeout)
	defer cancel()
	a := modeAnswer{server: server}
	var socket net.Conn
	if socket, a.err = c.connect(ctx, "tcp", server); a.err == nil {
		a.mode, a.err = Mode(ctx, socket)
	}
	return a
}

// Leader is the mode of the server that leads.
const Leader = "leader"

// Mode asks the server at the other end of socket for its mode, and closes socket. It uses
// the command srvr, which servers answer by default. The mode is "" when the server does
// not answer it.
func Mode(ctx context.Context, socket net.Conn) (mode string, err error) {
	defer socket.Close()
	defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
	if deadline, ok := ctx.Deadline(); ok {
		if err := socket.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	if _, err := io.WriteString(socket, "srvr"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(socket)
	if strings.Contains(string(answer), "not currently serving") {
		return "", errNotServing
	}
	_, mode, _ = strings.Cut(string(answer), "Mode: ")
	mode, _, _ = strings.Cut(mode, "\n")
	return mode, err
}

// addFailure notes why a server could not be reached.
func (c *Conn) addFailure(server string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Only the text: err may wrap the end of a context that the caller does not know.
	c.failures[server] = fmt.Sprintf("%s: %v", server, err)
}

// Failure returns why no server could be reached since the last session, or nil.
func (c *Conn) Failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) == 0 {
		return nil
	}
	return errors.New(strings.Join(slices.Sorted(maps.Values(c.failures)), "; "))
}

// onNoSession is called when a server has sent no first message because of err.
func (c *Conn) onNoSession(server string, err error) {
	if c.ctx.Err() != nil {
		return
	}
	c.addFailure(server, fmt.Errorf("no session: %w", err))
	if c.cfg.OnRefused != nil && c.zxid.Load() > 0 {
		c.cfg.OnRefused()
	}
}
