package etcdv2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/common"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/retry"
	"github.com/portworx/kvdb/internal/settings"
)

// newBackoff returns the waits between two tries.
func newBackoff() retry.Backoff {
	return retry.Backoff{Min: 20 * time.Millisecond, Max: common.DefaultIntervalBetweenRetries}
}

// pool sends requests to one of several members, to the same one until that fails. The
// client library can do that too, but it resends writes that may have run.
type pool struct {
	*call.Pool[*member]
	base           http.RoundTripper
	transport      *http.Transport // of base
	user, password string
	secure         bool // endpoints are https
	history        *history
	connections    atomic.Int32 // that are open
	// Of the store: launch runs a function on a goroutine that ends with lifetime.
	lifetime context.Context
	launch   func(func()) bool
}

// member is an endpoint of etcd.
type member struct {
	url     string
	address string // host:port
	pool    *pool

	mu           sync.Mutex      // protects what is below
	idle         []*memberClient // that no request uses
	longPolls    map[*longPoll]struct{}
	endHeartbeat context.CancelFunc // of the heartbeats, which are sent while there are long polls
}

// String implements call.Endpoint.
func (m *member) String() string { return m.address }

// set replaces the endpoints.
func (p *pool) set(endpoints []string) error {
	parsed, err := settings.Etcd2.Replace(endpoints, p.secure)
	if err != nil {
		return err
	}
	p.history.doubt() // they may belong to a copy of the store
	return p.replace(parsed, endpoints)
}

// replace replaces the endpoints, of which given is what the caller wrote.
func (p *pool) replace(endpoints []settings.Endpoint, given []string) error {
	members := make([]*member, len(endpoints))
	for i, e := range endpoints {
		members[i] = &member{url: e.URL(), address: e.Address(), pool: p, longPolls: map[*longPoll]struct{}{}}
		if _, err := members[i].take(); err != nil {
			return err
		}
	}
	p.Replace(members, given)
	return nil
}

const (
	once       = call.Once
	repeatable = call.Repeatable
)

// send makes a request of the members.
func send[T any](ctx context.Context, p *pool, k call.Kind, request func(context.Context, *memberClient) (T, error)) (reply T, err error) {
	err = p.Call(ctx, k, func(ctx context.Context, m *member, begun func()) (fate call.Fate, err error) {
		reply, fate, err = attempt(ctx, m, begun, request)
		if err != nil && fate != call.Refused && !driver.GivenUp(ctx) {
			p.history.doubt()
		}
		return fate, err
	})
	return reply, err
}

// keys is send for a request for keys.
func (p *pool) keys(ctx context.Context, k call.Kind, request func(context.Context, client.KeysAPI) (*client.Response, error)) (*client.Response, error) {
	return send(ctx, p, k, func(ctx context.Context, c *memberClient) (*client.Response, error) {
		reply, err := request(ctx, c.keys)
		if err == nil && reply.Node == nil {
			err = errNoNode
		}
		return reply, err
	})
}

// errNoNode says that an answer is not from etcd.
var errNoNode = errors.New("the answer has no node")

// attempt makes one request of m, and calls begun when the answer begins.
func attempt[T any](ctx context.Context, m *member, begun func(), request func(context.Context, *memberClient) (T, error)) (reply T, fate call.Fate, err error) {
	c, err := m.take()
	if err != nil {
		return reply, call.NotRun, err
	}
	defer m.put(c)
	c.begin(ctx, begun)
	reply, err = request(ctx, c)
	err = c.explain(err)
	return reply, fateOf(err, c.sent.Load()), err
}

// pingKey is read to see whether a member can reach a majority. It need not exist or be
// readable.
const pingKey = "/kvdb/bootstrap"

// ping returns when a majority has answered.
func (p *pool) ping(ctx context.Context) error {
	_, err := send(ctx, p, repeatable, p.serves)
	return err
}

// first makes the first endpoint that can reach a majority the current one.
func (p *pool) first(ctx context.Context) error {
	return p.First(ctx, func(ctx context.Context, m *member, begun func()) (call.Fate, error) {
		_, fate, err := attempt(ctx, m, begun, p.serves)
		if err != nil {
			err = fmt.Errorf("ask %s: %w", m.url, err)
		}
		return fate, err
	})
}

// serves returns an error when the member does not serve linearizable reads.
func (p *pool) serves(ctx context.Context, c *memberClient) (struct{}, error) {
	reply, err := c.keys.Get(ctx, p.heartbeatPath(), &client.GetOptions{Quorum: true})
	switch codeOf(err) {
	case client.ErrorCodeKeyNotFound, client.ErrorCodeNotDir:
		return struct{}{}, nil
	case client.ErrorCodeUnauthorized: // it serves, and permissions do not matter here
		return struct{}{}, nil
	}
	if err == nil && reply.Node == nil {
		err = errNoNode
	}
	return struct{}{}, err
}
