package etcdv2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/etcd/common"
	"github.com/portworx/kvdb/internal/retry"
)

const (
	// opTimeout bounds every call.
	opTimeout = 10 * time.Second
	// attemptTimeout is how long one member may take to begin its answer to a
	// request that may be repeated, before another one is asked.
	attemptTimeout = 3 * time.Second
)

var errNoAnswer = errors.New("no answer in time")

// newBackoff is what callers wait between two tries.
func newBackoff() retry.Backoff {
	return retry.Backoff{Min: 20 * time.Millisecond, Max: common.DefaultIntervalBetweenRetries}
}

// pool sends requests to one of several members, to the same one until that
// fails. The client library could do that too, but it sends writes again that
// may have run.
type pool struct {
	base           http.RoundTripper
	transport      *http.Transport // of base
	user, password string
	secure         bool // endpoints are https
	retries        int
	answered       atomic.Int64 // when a majority has answered last, after started
	started        time.Time

	mu      sync.Mutex // protects what is below
	members []*member  // the first one answers requests at present
	given   []string   // endpoints, as they were given
}

// member is an endpoint of etcd.
type member struct {
	url  string
	pool *pool
	// idle are lines that no request uses.
	mu   sync.Mutex
	idle []*line
}

// set replaces the endpoints.
func (p *pool) set(endpoints []string) error {
	urls, err := p.urls(endpoints)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	members := make([]*member, len(urls))
	for i, url := range urls {
		members[i] = &member{url: url, pool: p}
		if _, err := members[i].line(); err != nil {
			return err
		}
	}
	p.members, p.given = members, slices.Clone(endpoints)
	return nil
}

// urls returns endpoints as URLs of the scheme that the pool uses.
func (p *pool) urls(endpoints []string) ([]string, error) {
	urls, err := common.Endpoints(endpoints, p.secure)
	if err == nil && !p.secure && strings.HasPrefix(urls[0], "https://") {
		err = errors.New("https endpoints for an instance without TLS")
	}
	return urls, err
}

// endpoints returns what set was given.
func (p *pool) endpoints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.given)
}

// current returns the member that answers requests at present, and how many
// there are.
func (p *pool) current() (*member, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.members[0], len(p.members)
}

// avoid makes another member the current one, if m is it.
func (p *pool) avoid(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.members[0] == m {
		p.members = append(slices.Clone(p.members[1:]), m)
	}
}

// note remembers that a majority has answered.
func (p *pool) note() { p.answered.Store(int64(time.Since(p.started))) }

// silence is the time since a majority has answered.
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

// call makes a request of the members, until one has answered or ctx ends. An
// error of etcd's is returned as it is.
func call[T any](ctx context.Context, p *pool, k kind, request func(context.Context, *line) (T, error)) (T, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	backoff := newBackoff()
	for try := 1; ; try++ {
		m, n := p.current()
		reply, sent, err := attempt(ctx, m, k, request)
		if err == nil {
			p.note()
			return reply, nil
		}
		switch fateOf(err, sent) {
		case refused:
			p.note()
			return reply, err
		case perhaps:
			if k == once {
				p.avoid(m)
				return reply, fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, withCause(ctx, err))
			}
		}
		p.avoid(m)
		if ctx.Err() != nil || try > p.retries || try%n == 0 && backoff.Wait(ctx) != nil {
			return reply, notReached(ctx, err)
		}
	}
}

// attempt makes one request of m. sent tells whether it got a connection.
func attempt[T any](ctx context.Context, m *member, k kind, request func(context.Context, *line) (T, error)) (reply T, sent bool, err error) {
	l, err := m.line()
	if err != nil {
		return reply, false, err
	}
	defer m.put(l)
	if k == repeatable {
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(ctx)
		defer cancel(nil)
		late := time.AfterFunc(attemptTimeout, func() { cancel(errNoAnswer) })
		defer late.Stop()
		l.begin(ctx, func(http.Header) { late.Stop() })
	} else {
		l.begin(ctx, nil)
	}
	reply, err = request(ctx, l)
	return reply, l.sent.Load(), l.explain(err)
}

// bounded returns a context that ends with ctx, and after opTimeout at most. The
// engine bounds most calls itself.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= opTimeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, opTimeout)
}

// pingKey is read, and need not be there or be readable, to see whether a member
// can reach a majority.
const pingKey = "/kvdb/bootstrap"

// ping returns when a majority has answered.
func (p *pool) ping(ctx context.Context) error {
	_, err := call(ctx, p, repeatable, func(ctx context.Context, l *line) (*client.Response, error) {
		return l.keys.Get(ctx, pingKey, &client.GetOptions{Quorum: true})
	})
	switch codeOf(err) {
	case client.ErrorCodeKeyNotFound, client.ErrorCodeNotDir:
		return nil
	case client.ErrorCodeUnauthorized: // it is there, and who may do what is for others to say
		return nil
	}
	return err
}
