package conn

import (
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb/internal/observed"
	"github.com/portworx/kvdb/internal/settings"
)

const (
	// dialTimeout bounds how long a connection may take to be made.
	dialTimeout = 3 * time.Second
	// idleConns is how many connections are kept for later requests.
	idleConns = 128
)

// newTransport returns the transport of all requests of a Conn. It does not bound the
// number of connections, because blocking queries occupy some and must not delay
// other requests.
func (c Config) newTransport() *http.Transport {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     time.Minute,
		// After this time the body is sent to a server that does not know "Expect";
		// see requestTransport.RoundTrip.
		ExpectContinueTimeout: time.Second,
	}
	c.TLS.Secure(transport)
	observed.Transport(c.Hooks, c.Backend, transport)
	return transport
}

// newClient returns Consul's client for one endpoint.
func (c Config) newClient(e settings.Endpoint, transport *http.Transport) (*api.Client, error) {
	return api.NewClient(&api.Config{
		Address:    e.Address(),
		Scheme:     e.Scheme(),
		PathPrefix: e.Path,
		// Without a token the client takes one from the environment. requestTransport
		// replaces this one.
		Token: "none",
		HttpClient: &http.Client{
			Transport: requestTransport{transport, c.Token},
			// Consul redirects paths that are not in its canonical form.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
}

// requestTransport sends the token of the options, and nothing that Consul's client
// took from the environment of the process. It notes the status of the reply, and
// refuses a reply that is not Consul's.
type requestTransport struct {
	*http.Transport
	token string
}

func (t requestTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	own := *r // a RoundTripper must not change what it is given
	own.Header = maps.Clone(r.Header)
	own.Header.Del("X-Consul-Token")
	if t.token != "" {
		own.Header.Set("X-Consul-Token", t.token)
	}
	if r.ContentLength > MaxBody {
		// A server that refuses a request because of its length does not read it, and
		// without this would close the connection while it is being sent.
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
	reply, err := t.Transport.RoundTrip(&own)
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

// isRead reports whether a request reads keys or sessions.
func isRead(r *http.Request) bool {
	return r.Method == http.MethodGet && (strings.Contains(r.URL.Path, "/v1/kv/") || strings.Contains(r.URL.Path, "/v1/session/"))
}

// indexHeader is in every answer to such a request.
const indexHeader = "X-Consul-Index"

// statusKey is the context key of the *atomic.Int32 that gets the status of a reply,
// because not all errors of Consul's client have it.
type statusKey struct{}
