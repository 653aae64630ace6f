package consul

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/failover"
)

const (
	// maxWait is how long Consul may keep a blocking query without news. A list
	// comes back after that though nothing has changed.
	maxWait = 5 * time.Minute
	// pingInterval is how often an endpoint that has blocking queries is asked
	// whether it is well, and pingTimeout how long it may take to say so.
	pingInterval = 4 * time.Second
	pingTimeout  = 4 * time.Second
)

// endpoint is an agent or server of Consul.
type endpoint struct {
	pool    *pool
	address string
	client  *api.Client

	mu      sync.Mutex // protects what is below
	blocked map[*blocked]struct{}
	stop    context.CancelFunc // ends guard, which runs while there are blocking queries
}

// blocked is a blocking query that is under way.
type blocked struct{ cancel context.CancelCauseFunc }

// block makes a request that is answered when there is news. Unlike call it
// does not try again. An endpoint that does not answer pings any more ends it. After
// an error the caller must look at once what is there.
func (p *pool) block(ctx context.Context, f request) error {
	if ctx.Err() != nil { // after Close nobody waits for guards any more
		return driver.NotReached(ctx, context.Cause(ctx))
	}
	e, _ := p.Current()
	query, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := &blocked{cancel}
	e.begin(b)
	defer e.end(b)
	var code atomic.Int32
	err := f(context.WithValue(query, statusKey{}, &code), e.client)
	err = e.explain(err, int(code.Load()))
	if err == nil {
		p.Note()
		return nil
	}
	if context.Cause(query) == errLookAgain {
		return errLookAgain
	}
	if fateOf(err, true) == failover.Refused {
		return refusal(err)
	}
	if ctx.Err() == nil { // else it is not the endpoint that has failed
		p.Avoid(e)
	}
	return driver.NotReached(ctx, err)
}

func (e *endpoint) begin(b *blocked) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.blocked[b] = struct{}{}
	if len(e.blocked) == 1 {
		var ctx context.Context
		ctx, e.stop = context.WithCancel(context.Background())
		e.pool.guards.Go(func() { e.guard(ctx) })
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

// guard ends the blocking queries of an endpoint that has stopped to answer:
// from them alone that cannot be told from one that has no news.
func (e *endpoint) guard(ctx context.Context) {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		limited, cancel := driver.WithTimeLimit(ctx, pingTimeout)
		err := e.pool.probe(limited, e.client)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			e.pool.Note()
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

// interrupt ends the blocking queries of all endpoints.
func (p *pool) interrupt(cause error) {
	for _, e := range p.All() {
		e.interrupt(cause)
	}
}

// errLookAgain ends a blocking query that may never be answered.
var errLookAgain = errors.New("there may be news that nobody tells")

// recover waits after a blocking query has failed until an endpoint answers
// again. It gives up when none has for limit.
func (p *pool) recover(ctx context.Context, limit time.Duration) error {
	ctx, cancel := driver.WithTimeLimit(ctx, max(limit-p.Silence(), 0))
	defer cancel()
	return p.call(ctx, repeatable, ping)
}
