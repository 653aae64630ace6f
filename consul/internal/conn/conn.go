// Package conn sends requests to Consul.
//
// A Conn has several endpoints, agents or servers. It sends requests to one of
// them until that fails; package call decides whether a request is sent again. It knows
// nothing of what the store keeps in Consul.
//
// An error that is not Consul's answer wraps [kvdb.ErrNoConnection] when the
// request has certainly not run and [kvdb.ErrUnknownOutcome] when it may have,
// unless the caller's context ended first.
package conn

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

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/retry"
	"github.com/portworx/kvdb/internal/settings"
)

// Config is what a Conn needs to know.
type Config struct {
	settings.Settings
	Token string // of every request; "" for none
	// Hooks, which may be nil, observe requests and connections, as those of Backend.
	Hooks   *driver.Hooks
	Backend string
}

// Conn is safe for concurrent use.
type Conn struct {
	pool      *call.Pool[*endpoint]
	config    Config
	probe     Request
	transport *http.Transport
	guards    sync.WaitGroup // of endpoints with blocking queries
	setting   sync.Mutex     // orders calls of SetEndpoints
}

// Request makes one request with the client of one endpoint.
type Request func(ctx context.Context, c *api.Client) error

// New returns a Conn to the endpoints of c. It sends nothing. While there are
// blocking queries, probe is sent to their endpoint every few seconds to find out
// whether it still answers.
func New(c Config, probe Request) (*Conn, error) {
	conn := &Conn{
		pool:   call.NewPool[*endpoint](call.Policy{Retries: math.MaxInt, Backoff: NewBackoff(), Hooks: c.Hooks, Backend: c.Backend}),
		config: c, probe: probe, transport: c.newTransport(),
	}
	return conn, conn.replace(c.Endpoints, c.Given)
}

// NewBackoff returns the waits between two tries.
func NewBackoff() retry.Backoff {
	return retry.Backoff{Min: 20 * time.Millisecond, Max: 500 * time.Millisecond}
}

// Endpoints returns the endpoints as they were given.
func (c *Conn) Endpoints() []string { return c.pool.Given() }

// SetEndpoints replaces the endpoints. Those that stay keep their blocking queries.
func (c *Conn) SetEndpoints(addresses []string) error {
	parsed, err := settings.Consul.Replace(addresses, c.config.TLS != nil)
	if err != nil {
		return err
	}
	return c.replace(parsed, addresses)
}

// replace replaces the endpoints, of which given is what the caller wrote.
func (c *Conn) replace(parsed []settings.Endpoint, given []string) error {
	c.setting.Lock()
	defer c.setting.Unlock()
	before := c.pool.All()
	var endpoints []*endpoint
	for i, address := range given {
		if i := slices.IndexFunc(before, func(e *endpoint) bool { return e.address == address }); i >= 0 {
			endpoints = append(endpoints, before[i])
			continue
		}
		client, err := c.config.newClient(parsed[i], c.transport)
		if err != nil {
			return err
		}
		endpoints = append(endpoints, &endpoint{conn: c, address: address, hostPort: parsed[i].Address(), client: client, blocked: map[*blocked]struct{}{}})
	}
	c.pool.Replace(endpoints, given)
	for _, e := range before {
		if !slices.Contains(endpoints, e) {
			e.hangUp()
		}
	}
	return nil
}

// Kind is how often a request may be sent.
type Kind = call.Kind

const (
	// Once is for a request that is sent again only when it has certainly not run.
	Once = call.Once
	// Repeatable is for a request that does no harm when it runs twice.
	Repeatable = call.Repeatable
)

// Call makes a request of the endpoints, until one has answered or ctx ends.
func (c *Conn) Call(ctx context.Context, k Kind, f Request) error {
	return refusal(c.pool.Call(ctx, k, f.attempt))
}

// Query makes a read with c, stale or linearizable, and returns what was read and the
// index of the reply.
func Query[T any](ctx context.Context, c *Conn, stale bool,
	read func(*api.Client, *api.QueryOptions) (T, *api.QueryMeta, error)) (result T, index uint64, err error) {
	err = c.Call(ctx, Repeatable, func(ctx context.Context, client *api.Client) error {
		q := Consistent(ctx)
		q.RequireConsistent, q.AllowStale = !stale, stale
		got, meta, err := read(client, q)
		if err == nil {
			result, index = got, meta.LastIndex
		}
		return err
	})
	return result, index, err
}

// Consistent returns the options of a linearizable read.
func Consistent(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

// EachEndpoint makes a request of all endpoints side by side, once, and waits for the
// answers. f gets the address as the caller wrote it.
func (c *Conn) EachEndpoint(ctx context.Context, f func(ctx context.Context, address string, client *api.Client) error) {
	var calls sync.WaitGroup
	for _, e := range c.pool.All() {
		calls.Go(func() {
			request := Request(func(ctx context.Context, client *api.Client) error { return f(ctx, e.address, client) })
			_, _ = c.pool.Try(ctx, e, request.attempt) // an endpoint that does not answer has no result
		})
	}
	calls.Wait()
}

// Connect asks all endpoints side by side, and sends requests to the first one that
// serves. A token that Consul does not know is an error.
func (c *Conn) Connect(ctx context.Context) error {
	return refusal(c.pool.First(ctx, Request(login).attempt))
}

// PingKey is a key that is read to see whether an endpoint can reach the leader and
// the leader a majority. It need not exist or be readable.
const PingKey = "kvdb-ping"

// login is ping for Connect.
func login(ctx context.Context, c *api.Client) error {
	_, _, err := c.KV().Get(PingKey, Consistent(ctx))
	if IsForbidden(err) && !isUnknownToken(err) {
		return nil
	}
	return err
}

func ping(ctx context.Context, c *api.Client) error {
	err := login(ctx, c)
	if isUnknownToken(err) {
		return nil
	}
	return err
}

// Ping asks the endpoints until one can reach the leader, or ctx ends.
func (c *Conn) Ping(ctx context.Context) error { return c.Call(ctx, Repeatable, ping) }

// Recover is Ping after a blocking query has failed. It gives up when no endpoint has
// answered any request for limit.
func (c *Conn) Recover(ctx context.Context, limit time.Duration) error {
	ctx, cancel := driver.WithTimeLimit(ctx, max(limit-c.pool.Silence(), 0))
	defer cancel()
	return c.Ping(ctx)
}

// attempt implements call.Request.
func (f Request) attempt(ctx context.Context, e *endpoint, begun func()) (call.Fate, error) {
	var got atomic.Bool
	var code atomic.Int32
	trace := &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { got.Store(true) },
		GotFirstResponseByte: begun,
	}
	err := f(context.WithValue(httptrace.WithClientTrace(ctx, trace), statusKey{}, &code), e.client)
	err = e.explain(err, int(code.Load()))
	return fateOf(err, got.Load()), err
}

// Close closes the connections. All contexts of calls must have ended.
func (c *Conn) Close() {
	c.guards.Wait()
	c.transport.CloseIdleConnections()
}
