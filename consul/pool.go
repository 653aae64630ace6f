package consul

import (
	"context"
	"math"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb/internal/failover"
	"github.com/portworx/kvdb/internal/retry"
	"github.com/portworx/kvdb/internal/settings"
)

const (
	// opTimeout bounds every call.
	opTimeout = 10 * time.Second
	// openTimeout is how long New looks for an endpoint that serves, so that it returns
	// within 10 s.
	openTimeout = 8 * time.Second
)

// newBackoff is what callers wait between two tries.
func newBackoff() retry.Backoff {
	return retry.Backoff{Min: 20 * time.Millisecond, Max: 500 * time.Millisecond}
}

// pool sends requests to one of several endpoints, to the same one until that
// fails.
type pool struct {
	*failover.Pool[*endpoint]
	config    config
	probe     request // what guards ask of endpoints
	transport *http.Transport
	guards    sync.WaitGroup // of endpoints with blocking queries
	setting   sync.Mutex     // orders calls of set
}

func newPool(c config) (*pool, error) {
	p := &pool{
		Pool:   failover.New[*endpoint](fateOf, newBackoff(), math.MaxInt),
		config: c, transport: c.newTransport(),
	}
	return p, p.replace(c.Endpoints, c.Given)
}

// set replaces the endpoints. Those that stay keep their blocking queries.
func (p *pool) set(addresses []string) error {
	parsed, err := settings.Consul.Replace(addresses, p.config.TLS != nil)
	if err != nil {
		return err
	}
	return p.replace(parsed, addresses)
}

// replace replaces the endpoints, of which given is what the caller wrote.
func (p *pool) replace(parsed []settings.Endpoint, given []string) error {
	p.setting.Lock()
	defer p.setting.Unlock()
	before := p.All()
	var endpoints []*endpoint
	for i, address := range given {
		if i := slices.IndexFunc(before, func(e *endpoint) bool { return e.address == address }); i >= 0 {
			endpoints = append(endpoints, before[i])
			continue
		}
		client, err := p.config.newClient(parsed[i], p.transport)
		if err != nil {
			return err
		}
		endpoints = append(endpoints, &endpoint{pool: p, address: address, client: client, blocked: map[*blocked]struct{}{}})
	}
	p.Replace(endpoints, given)
	for _, e := range before {
		if !slices.Contains(endpoints, e) {
			e.hangUp()
		}
	}
	return nil
}

const (
	once       = failover.Once
	repeatable = failover.Repeatable
)

// request is a request to one endpoint.
type request func(ctx context.Context, c *api.Client) error

// call makes a request of the endpoints, until one has answered or ctx ends.
func (p *pool) call(ctx context.Context, k failover.Kind, f request) error {
	return refusal(p.Call(ctx, k, f.attempt))
}

// first makes the first endpoint that serves the current one.
func (p *pool) first(ctx context.Context) error {
	return refusal(p.First(ctx, request(login).attempt))
}

// attempt implements failover.Attempt.
func (f request) attempt(ctx context.Context, e *endpoint, begun func()) (sent bool, err error) {
	var got atomic.Bool
	var code atomic.Int32
	trace := &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { got.Store(true) },
		GotFirstResponseByte: begun,
	}
	err = f(context.WithValue(httptrace.WithClientTrace(ctx, trace), statusKey{}, &code), e.client)
	return got.Load(), e.explain(err, int(code.Load()))
}

// pingKey is a key that is read, and need not be there or be readable, to see
// whether an endpoint can reach the leader and that a majority.
const pingKey = "kvdb-ping"

func ping(ctx context.Context, c *api.Client) error {
	err := login(ctx, c)
	if isUnknownToken(err) {
		return nil
	}
	return err
}

// login is ping for New, where a token that Consul does not know is an error.
func login(ctx context.Context, c *api.Client) error {
	_, _, err := c.KV().Get(pingKey, consistent(ctx))
	if isForbidden(err) && !isUnknownToken(err) {
		return nil
	}
	return err
}

func isForbidden(err error) bool { return isStatus(err, http.StatusForbidden) }

// consistent are the options of a linearizable read.
func consistent(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func (p *pool) close() {
	p.guards.Wait()
	p.transport.CloseIdleConnections()
}
