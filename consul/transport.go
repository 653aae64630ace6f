package consul

import (
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb/internal/settings"
)

const (
	// dialTimeout bounds how long a connection may take to be made.
	dialTimeout = 3 * time.Second
	// idleConns is how many connections are kept for requests to come.
	idleConns = 128
)

// newTransport returns what carries an instance's requests. It does not bound
// the number of connections: watches keep theirs busy, and must not be in the way
// of other calls.
func (c config) newTransport() *http.Transport {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     time.Minute,
		// See explicit.RoundTrip. Who does not know the question gets the request.
		ExpectContinueTimeout: time.Second,
	}
	c.TLS.Secure(transport)
	return transport
}

// newClient returns Consul's client for one endpoint.
func (c config) newClient(e settings.Endpoint, transport *http.Transport) (*api.Client, error) {
	return api.NewClient(&api.Config{
		Address:    e.Address(),
		Scheme:     e.Scheme(),
		PathPrefix: e.Path,
		// A client without a token takes what the environment has; see explicit.
		Token: "none",
		HttpClient: &http.Client{
			Transport: explicit{transport, c.token},
			// Consul redirects paths that it does not like the look of.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
}

// explicit sends the token of the options and nothing that Consul's client took
// from the environment of the process. It knows more of a reply than the client
// tells.
type explicit struct {
	*http.Transport
	token string
}

func (e explicit) RoundTrip(r *http.Request) (*http.Response, error) {
	own := *r // a RoundTripper must not change what it is given
	own.Header = maps.Clone(r.Header)
	own.Header.Del("X-Consul-Token")
	if e.token != "" {
		own.Header.Set("X-Consul-Token", e.token)
	}
	if r.ContentLength > maxRequest {
		// A server that refuses a request for its length does not read it, and would
		// end the connection in the middle of it.
		own.Header.Set("Expect", "100-continue")
	}
	if strings.Contains(r.URL.RawQuery, "ns=") || strings.Contains(r.URL.RawQuery, "partition=") {
		query := r.URL.Query()
		query.Del("ns")
		query.Del("partition")
		target := *r.URL
		target.RawQuery = query.Encode()
		own.URL = &target
	}
	reply, err := e.Transport.RoundTrip(&own)
	if err != nil {
		return nil, err
	}
	if code, ok := r.Context().Value(statusKey{}).(*atomic.Int32); ok {
		code.Store(int32(reply.StatusCode))
	}
	// A missing key is a 404, which a proxy may also send; a genuine reply has an index.
	if isRead(r) && (reply.StatusCode == http.StatusOK || reply.StatusCode == http.StatusNotFound) && reply.Header.Get(indexHeader) == "" {
		_ = reply.Body.Close()
		return nil, errNoIndex
	}
	return reply, nil
}

// isRead reports whether a request is for keys or sessions.
func isRead(r *http.Request) bool {
	return r.Method == http.MethodGet && (strings.Contains(r.URL.Path, "/v1/kv/") || strings.Contains(r.URL.Path, "/v1/session/"))
}

// indexHeader is there in every answer to such a request.
const indexHeader = "X-Consul-Index"

// statusKey is the context key of the *atomic.Int32 that gets the status of a
// reply, which not all errors of Consul's client tell.
type statusKey struct{}
