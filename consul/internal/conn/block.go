package conn

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
)

const (
	// MaxWait is how long Consul may keep a blocking query without news. It then
	// answers although nothing has changed.
	MaxWait = 5 * time.Minute
	// probeInterval is how often an endpoint that has blocking queries is probed,
	// and probeTimeout how long it may take to answer.
	probeInterval = 4 * time.Second
	probeTimeout  = 4 * time.Second
)

// endpoint is an agent or server of Consul.
type endpoint struct {
	conn     *Conn
	address  string // as the caller wrote it
	hostPort string
	client   *api.Client

	mu      sync.Mutex // protects what is below
	blocked map[*blocked]struct{}
	stop    context.CancelFunc // ends guard, which runs while there are blocking queries
}

// String implements call.Endpoint.
func (e *endpoint) String() string { return e.hostPort }

// blocked is a blocking query that is under way.
type blocked struct{ cancel context.CancelCauseFunc }

// Block makes a blocking query, which Consul answers when there is news. Unlike Call
// it does not try again. It fails when the endpoint does not answer probes any more,
// and with ErrLookAgain after Interrupt. After either the caller must read at once
// what is there.
func (c *Conn) Block(ctx context.Context, f Request) error {
	if ctx.Err() != nil { // Close may no longer wait for guards
		return driver.NotReached(ctx, context.Cause(ctx))
	}
	e := c.pool.Current()
	query, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := &blocked{cancel}
	e.begin(b)
	defer e.end(b)
	var code atomic.Int32
	err := f(context.WithValue(query, statusKey{}, &code), e.client)
	err = e.explain(err, int(code.Load()))
	if err == nil {
		c.pool.Note()
		return nil
	}
	if context.Cause(query) == ErrLookAgain {
		return ErrLookAgain
	}
	if fateOf(err, true) == call.Refused {
		return refusal(err)
	}
	if ctx.Err() == nil { // otherwise it is not the endpoint that has failed
		c.pool.Avoid(e)
	}
	return driver.NotReached(ctx, err)
}

// ErrLookAgain is the error of a blocking query that Interrupt has ended.
var ErrLookAgain = errors.New("the blocking query was interrupted")

// Interrupt ends all blocking queries, because there may be news that end none of
// them.
func (c *Conn) Interrupt() {
	for _, e := range c.pool.All() {
		e.interrupt(ErrLookAgain)
	}
}

func (e *endpoint) begin(b *blocked) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.blocked[b] = struct{}{}
	if len(e.blocked) == 1 {
		var ctx context.Context
		ctx, e.stop = context.WithCancel(context.Background())
		e.conn.guards.Go(func() { e.guard(ctx) })
	}
}

func (e *endpoint) end(b *blocked) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.blocked, b)
	if len(e.blocked) == 0 {
		e.stop()
	}
}

// guard ends the blocking queries of an endpoint when it no longer answers probes.
// The queries alone do not show the difference between no answer and no news.
func (e *endpoint) guard(ctx context.Context) {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		limited, cancel := driver.WithTimeLimit(ctx, probeTimeout)
		err := e.conn.probe(limited, e.client)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			e.conn.pool.Note()
		default:
			e.hangUp()
		}
	}
}

// hangUp ends the blocking queries as if the connection was lost.
func (e *endpoint) hangUp() { e.interrupt(driver.ErrTimeLimit) }

// interrupt ends the blocking queries.
func (e *endpoint) interrupt(cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for b := range e.blocked {
		b.cancel(cause)
	}
}
