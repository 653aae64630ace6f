package etcdv2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// await is how long a test waits for something that must happen.
const await = 30 * time.Second

// instance opens an instance that the end of the test closes.
func instance(t *testing.T, cluster *servers.Cluster, domain string, options map[string]string, wrap wrapper) kvdb.Kvdb {
	t.Helper()
	kv, err := newInstance(domain, cluster.Endpoints(), options, nil, wrap)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// receive waits for an element.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(await):
		require.FailNow(t, "nothing was received in time")
		panic("not reached")
	}
}

// watchCall is a call of a watch callback.
type watchCall struct {
	what string
	err  error
}

func event(action kvdb.KVAction, key string, index uint64) watchCall {
	return watchCall{what: fmt.Sprintf("%v %s at %d", action, key, index)}
}

func watch(t *testing.T, kv kvdb.Kvdb, prefix string, after uint64) <-chan watchCall {
	t.Helper()
	c := make(chan watchCall, 10_000)
	require.NoError(t, kv.WatchTree(prefix, after, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err != nil {
			c <- watchCall{err: err}
			return errors.New("over")
		}
		c <- event(pair.Action, pair.Key, pair.ModifiedIndex)
		return nil
	}))
	return c
}

// network stands between an instance and the servers.
type network struct {
	base http.RoundTripper

	mu       sync.Mutex // protects what is below
	requests []*http.Request
	// refuse reports whether to drop a request, and lose whether to drop its answer.
	// nil drops none.
	refuse, lose func(*http.Request) bool
	// status and body replace all answers of the server, unless status is 0.
	status int
	body   string
	// gated reports whether the answer to a request can be read only after gate is
	// closed. nil: none.
	gated  func(*http.Request) bool
	gate   <-chan struct{}
	bodies []io.Closer // of the answers
}

func (n *network) wrap(base http.RoundTripper) http.RoundTripper {
	n.base = base
	return n
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.requests = append(n.requests, r)
	refused, isLost := n.refuse != nil && n.refuse(r), n.lose != nil && n.lose(r)
	status, body := n.status, n.body
	isGated, gate := n.gated != nil && n.gated(r), n.gate
	n.mu.Unlock()
	if refused {
		return nil, errors.New("the network is cut")
	}
	reply, err := n.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if status != 0 {
		reply.Body.Close()
		return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
	if isLost {
		reply.Body.Close()
		return nil, errors.New("the answer is lost")
	}
	if isGated {
		reply.Body = gated{reply.Body, r.Context().Done(), gate}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bodies = append(n.bodies, reply.Body)
	return reply, nil
}

// hold makes later answers unreadable until gate is closed.
func (n *network) hold(which func(*http.Request) bool, gate <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gated, n.gate = which, gate
}

// cut drops requests, and ends the answers that are under way.
func (n *network) cut(refuse func(*http.Request) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = refuse
	for _, body := range n.bodies {
		_ = body.Close()
	}
}

// loseAnswers drops answers.
func (n *network) loseAnswers(to func(*http.Request) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lose = to
}

// answer replaces the server's answers to all requests, and ends those that are under way.
func (n *network) answer(status int, body string) {
	n.cut(nil)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status, n.body = status, body
}

// mend lets all requests and answers through.
func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse, n.lose, n.status = nil, nil, 0
}

// count returns the number of requests of a kind so far.
func (n *network) count(kind func(*http.Request) bool) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, r := range n.requests {
		if kind(r) {
			count++
		}
	}
	return count
}

func waits(r *http.Request) bool { return r.URL.Query().Get("wait") == "true" }

func streams(r *http.Request) bool { return r.URL.Query().Has("stream") }

func asksHistory(r *http.Request) bool { return r.URL.Query().Has("waitIndex") }

func everything(*http.Request) bool { return true }

func isHeartbeat(r *http.Request) bool { return r.URL.Path == "/v2/keys"+pingKey }

// gated is a body that can be read after gate is closed.
type gated struct {
	io.ReadCloser
	givenUp, gate <-chan struct{}
}

func (g gated) Read(p []byte) (int, error) {
	select {
	case <-g.gate:
	case <-g.givenUp:
		return 0, context.Canceled
	}
	return g.ReadCloser.Read(p)
}

// eventually polls until condition holds. It is for conditions that no event reports.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	eventuallyWithin(t, await, what, condition)
}

func eventuallyWithin(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !condition(); <-tick.C {
		require.True(t, time.Now().Before(deadline), what)
	}
}
