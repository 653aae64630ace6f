package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/retry"
)

const (
	// opTimeout bounds every call.
	opTimeout = 10 * time.Second
	// attemptTimeout is how long one endpoint may take to begin its answer to a
	// request that may be repeated, before another one is asked.
	attemptTimeout = 3 * time.Second
)

var errNoAnswer = errors.New("no answer in time")

// newBackoff is what callers wait between two tries.
func newBackoff() retry.Backoff {
	return retry.Backoff{Min: 20 * time.Millisecond, Max: 500 * time.Millisecond}
}

// pool sends requests to one of several endpoints, to the same one until that
// fails.
type pool struct {
	settings  settings
	transport *http.Transport
	guards    sync.WaitGroup // of endpoints with blocking queries
	answered  atomic.Int64   // when a request was answered last, after started
	started   time.Time

	mu        sync.Mutex  // protects what is below
	endpoints []*endpoint // the first one answers requests at present
	given     []string    // their addresses, in the order they were given
}

func newPool(o settings, addresses []string) (*pool, error) {
	p := &pool{settings: o, transport: o.newTransport(), started: time.Now()}
	return p, p.set(addresses)
}

// set replaces the endpoints. Those that stay keep their blocking queries.
func (p *pool) set(addresses []string) error {
	if len(addresses) == 0 {
		return fmt.Errorf("%w: no endpoint of Consul is given", kvdb.ErrIllegal)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var endpoints []*endpoint
	for _, address := range addresses {
		if i := slices.IndexFunc(p.endpoints, func(e *endpoint) bool { return e.address == address }); i >= 0 {
			endpoints = append(endpoints, p.endpoints[i])
			continue
		}
		client, err := p.settings.newClient(address, p.transport)
		if err != nil {
			return err
		}
		endpoints = append(endpoints, &endpoint{pool: p, address: address, client: client, blocked: map[*blocked]struct{}{}})
	}
	gone := slices.DeleteFunc(p.endpoints, func(e *endpoint) bool { return slices.Contains(endpoints, e) })
	p.endpoints, p.given = endpoints, slices.Clone(addresses)
	for _, e := range gone {
		e.hangUp()
	}
	return nil
}

// addresses returns what set was given.
func (p *pool) addresses() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.given)
}

// all returns the endpoints.
func (p *pool) all() []*endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.endpoints)
}

// current returns the endpoint that answers requests at present, and how many
// there are.
func (p *pool) current() (*endpoint, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endpoints[0], len(p.endpoints)
}

// avoid makes another endpoint the current one, if e is it.
func (p *pool) avoid(e *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endpoints[0] == e {
		p.endpoints = append(slices.Clone(p.endpoints[1:]), e)
	}
}

// note remembers that a request was answered.
func (p *pool) note() { p.answered.Store(int64(time.Since(p.started))) }

// silence is the time since a request was answered last.
func (p *pool) silence() time.Duration {
	return time.Since(p.started) - time.Duration(p.answered.Load())
}

// kind is how often a request may be sent.
type kind int

const (
	// once: sent again only when it has certainly not run.
	once kind = iota
	// repeatable: it changes nothing, or running twice does no harm.
	repeatable
)

// request is a request to one endpoint.
type request func(ctx context.Context, c *api.Client) error

// call makes a request of the endpoints, until one has answered or ctx ends.
func (p *pool) call(ctx context.Context, k kind, f request) error {
	backoff := newBackoff()
	for try := 1; ; try++ {
		e, n := p.current()
		sent, err := e.try(ctx, k, f)
		if err == nil {
			p.note()
			return nil
		}
		fate := fateOf(err, sent)
		if fate == refused {
			p.note()
			return refusal(err)
		}
		canceled := ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded)
		if !canceled {
			p.avoid(e)
		}
		if fate == perhaps && k == once {
			return fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, withCause(ctx, err))
		}
		if ctx.Err() != nil || try%n == 0 && backoff.Wait(ctx) != nil {
			return notReached(ctx, err)
		}
	}
}

// try makes one request of e. sent tells whether it got a connection.
func (e *endpoint) try(ctx context.Context, k kind, f request) (sent bool, err error) {
	var got atomic.Bool
	var code atomic.Int32
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { got.Store(true) }}
	if k == repeatable {
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(ctx)
		defer cancel(nil)
		late := time.AfterFunc(attemptTimeout, func() { cancel(errNoAnswer) })
		defer late.Stop()
		trace.GotFirstResponseByte = func() { late.Stop() }
	}
	err = f(context.WithValue(httptrace.WithClientTrace(ctx, trace), statusKey{}, &code), e.client)
	return got.Load(), withStatus(err, int(code.Load()))
}

// pingKey is a key that is read, and need not be there or be readable, to see
// whether an endpoint can reach the leader and that a majority.
const pingKey = "kvdb-ping"

func ping(ctx context.Context, c *api.Client) error {
	_, _, err := c.KV().Get(pingKey, consistent(ctx))
	if isStatus(err, http.StatusForbidden) {
		return nil
	}
	return err
}

// consistent are the options of a linearizable read.
func consistent(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func (p *pool) close() {
	p.guards.Wait()
	p.transport.CloseIdleConnections()
}
