package consul

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/test/servers"
)

// await is how long a test waits for something that must happen.
const await = 30 * time.Second

// open opens an instance that the end of the test closes.
func open(t *testing.T, domain string, endpoints []string, options map[string]string) kvdb.Kvdb {
	t.Helper()
	kv, err := New(domain, endpoints, options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// raw returns Consul's own client.
func raw(t *testing.T, m *servers.Member) *api.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := api.NewClient(&api.Config{Address: m.Direct(), HttpClient: &http.Client{Transport: transport}})
	require.NoError(t, err)
	return client
}

// sessions returns the names of the sessions in Consul.
func sessions(t *testing.T, client *api.Client) []string {
	t.Helper()
	list, _, err := client.Session().List(&api.QueryOptions{RequireConsistent: true})
	require.NoError(t, err)
	names := []string{}
	for _, session := range list {
		names = append(names, session.Name)
	}
	return names
}

// newSession creates a session that ends with the test.
func newSession(t *testing.T, client *api.Client, behavior string) string {
	t.Helper()
	id, _, err := client.Session().CreateNoChecks(&api.SessionEntry{TTL: "60s", Behavior: behavior, LockDelay: time.Millisecond}, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := client.Session().Destroy(id, nil)
		require.NoError(t, err)
	})
	return id
}

// eventually polls until condition holds. It is for conditions that no event announces.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(await); !condition(); <-tick.C {
		require.True(t, time.Now().Before(deadline), what)
	}
}

// receive waits for an element of a channel, or for its end.
func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(await)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		require.FailNow(t, "waited in vain for "+what)
		panic("not reached")
	}
}

// events watches a prefix and sends its events, and nil when the watch is over.
func events(t *testing.T, kv kvdb.Kvdb, prefix string, after uint64) <-chan *kvdb.KVPair {
	t.Helper()
	c := make(chan *kvdb.KVPair, 100_000)
	require.NoError(t, kv.WatchTree(prefix, after, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		c <- pair
		if err != nil {
			return errors.New("over")
		}
		return nil
	}))
	return c
}

// observer is a proxy between a client and a server, and records the requests.
type observer struct {
	*httptest.Server
	proxy *httputil.ReverseProxy

	mu       sync.Mutex // protects what is below
	requests []string   // that have arrived: method and path, and "?index" when it blocks
	blocking int        // number of blocking queries under way
	most     int        // the largest value of blocking
	// before is called with each request, unless nil. It returns true if it has answered
	// the request.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func observe(t *testing.T, target string) *observer {
	t.Helper()
	base, err := url.Parse(target)
	require.NoError(t, err)
	transport := &http.Transport{}
	o := &observer{proxy: httputil.NewSingleHostReverseProxy(base)}
	o.proxy.Transport = transport
	o.proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	o.Server = httptest.NewServer(o)
	t.Cleanup(func() { o.Close(); transport.CloseIdleConnections() })
	return o
}

func (o *observer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/kv/"+conn.PingKey || strings.HasPrefix(r.URL.Path, "/v1/session/renew/") {
		o.proxy.ServeHTTP(w, r) // these come at any time, so they are not recorded
		return
	}
	blocks := r.URL.Query().Has("index")
	o.mu.Lock()
	request := r.Method + " " + r.URL.Path
	if blocks {
		request += "?index"
	}
	o.requests = append(o.requests, request)
	if blocks {
		o.blocking++
		o.most = max(o.most, o.blocking)
	}
	before := o.before
	o.mu.Unlock()
	if before == nil || !before(w, r) {
		o.proxy.ServeHTTP(w, r)
	}
	if blocks {
		o.mu.Lock()
		o.blocking--
		o.mu.Unlock()
	}
}

// take returns the requests since the last call.
func (o *observer) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	requests := o.requests
	o.requests = nil
	return requests
}

// atOnce returns the requests that do not block, because whether a lock is watched depends
// on how long it is held.
func atOnce(requests []string) []string {
	return slices.DeleteFunc(slices.Clone(requests), func(r string) bool { return strings.HasSuffix(r, "?index") })
}

// intercept calls f with each request before it is forwarded.
func (o *observer) intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.before = f
}

// answer replies without asking Consul.
func answer(w http.ResponseWriter, r *http.Request, code int, body string) {
	_, _ = io.Copy(io.Discard, r.Body) // the connection stays usable
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body)
}

// sever ends the connection without a reply.
func sever(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// discard discards a reply.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// each calls f with 0 to n-1, several at a time.
func each(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() { errs[i] = f(i); <-slots })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// storeOf opens a store without an engine.
func storeOf(t *testing.T, cluster *servers.Cluster) *store {
	t.Helper()
	c, err := parse(cluster.Endpoints(), nil)
	require.NoError(t, err)
	s, err := newStore(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}
