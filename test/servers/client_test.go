package servers_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
)

// store does the least that shows that a server works: it writes something under
// a name, and reads whether it is there. Both need a quorum, and endpoint is one
// of a member.
type store interface {
	put(ctx context.Context, endpoint, name string) error
	has(ctx context.Context, endpoint, name string) (bool, error)
}

// kinds are the servers that there are.
var kinds = []struct {
	kind  servers.Kind
	start func(testing.TB, servers.Options) *servers.Cluster
	store func(*web) store
}{
	{servers.EtcdKind, servers.Etcd, func(w *web) store { return etcd{w} }},
	{servers.Etcd35Kind, servers.Etcd35, func(w *web) store { return etcdV2{w} }},
	{servers.ConsulKind, servers.Consul, func(w *web) store { return consul{w} }},
	{servers.ZooKeeperKind, servers.ZooKeeper, func(w *web) store { return &zookeeper{web: w} }},
}

// web speaks HTTP, or TLS, with what it takes to be let in.
type web struct {
	config *tls.Config
	token  string
}

// newWeb returns one that a cluster lets in, if it asks for something.
func newWeb(t *testing.T, c *servers.Cluster) *web {
	w := &web{token: c.Token}
	if c.CA != nil {
		w.config = clientConfig(t, c.CA, servers.Leaf{CommonName: "client"})
	}
	return w
}

// clientConfig trusts an authority and shows a certificate that it made.
func clientConfig(t *testing.T, ca *servers.CA, leaf servers.Leaf) *tls.Config {
	certFile, keyFile, err := ca.Issue("client", leaf)
	require.NoError(t, err)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	root, err := os.ReadFile(ca.File)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(root))
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}
}

// do returns the status and the body of an answer.
func (w *web) do(ctx context.Context, method, url, body string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("X-Consul-Token", w.token)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: w.config, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}

// expect is do where only two answers are expected: yes and no.
func (w *web) expect(ctx context.Context, yes, no int, method, url, body string) (bool, error) {
	status, answer, err := w.do(ctx, method, url, body)
	if err == nil && status != yes && status != no {
		err = fmt.Errorf("status %d: %s", status, answer)
	}
	return status == yes, err
}

type etcd struct{ *web }

func (e etcd) put(ctx context.Context, endpoint, name string) error {
	key := base64.StdEncoding.EncodeToString([]byte(name))
	_, err := e.expect(ctx, 200, 200, "POST", endpoint+"/v3/kv/put", `{"key":"`+key+`","value":"`+key+`"}`)
	return err
}

func (e etcd) has(ctx context.Context, endpoint, name string) (bool, error) {
	key := base64.StdEncoding.EncodeToString([]byte(name))
	status, answer, err := e.do(ctx, "POST", endpoint+"/v3/kv/range", `{"key":"`+key+`"}`)
	if err == nil && status != 200 {
		err = errors.New(answer)
	}
	return strings.Contains(answer, `"count":"1"`), err
}

type etcdV2 struct{ *web }

func (e etcdV2) put(ctx context.Context, endpoint, name string) error {
	_, err := e.expect(ctx, 201, 200, "PUT", endpoint+"/v2/keys/"+name+"?value=1", "")
	return err
}

func (e etcdV2) has(ctx context.Context, endpoint, name string) (bool, error) {
	return e.expect(ctx, 200, 404, "GET", endpoint+"/v2/keys/"+name+"?quorum=true", "")
}

type consul struct{ *web }

func (c consul) put(ctx context.Context, endpoint, name string) error {
	_, err := c.expect(ctx, 200, 200, "PUT", endpoint+"/v1/kv/"+name, "1")
	return err
}

func (c consul) has(ctx context.Context, endpoint, name string) (bool, error) {
	return c.expect(ctx, 200, 404, "GET", endpoint+"/v1/kv/"+name+"?consistent", "")
}

// zookeeper writes by opening a session, which is replicated like any other
// write, and reads by taking it up again.
type zookeeper struct {
	*web
	sessions sync.Map // name → servers.Session
}

func (z *zookeeper) put(ctx context.Context, endpoint, name string) error {
	opened, err := z.connect(ctx, endpoint, servers.Session{})
	if err == nil && opened.ID == 0 {
		err = errors.New("no session")
	}
	z.sessions.Store(name, opened)
	return err
}

func (z *zookeeper) has(ctx context.Context, endpoint, name string) (bool, error) {
	stored, ok := z.sessions.Load(name)
	if !ok {
		return false, nil
	}
	taken, err := z.connect(ctx, endpoint, stored.(servers.Session))
	return taken.ID == stored.(servers.Session).ID, err
}

func (z *zookeeper) connect(ctx context.Context, endpoint string, s servers.Session) (servers.Session, error) {
	conn, err := z.dial(ctx, endpoint)
	if err != nil {
		return servers.Session{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s.Timeout = 60000
	s, err = servers.OpenSession(conn, s)
	return s, errors.Join(err, ctx.Err())
}

func (z *zookeeper) dial(ctx context.Context, endpoint string) (net.Conn, error) {
	if z.config == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", endpoint)
	}
	return (&tls.Dialer{Config: z.config}).DialContext(ctx, "tcp", endpoint)
}

// hostPort is the endpoint without the scheme.
func hostPort(m *servers.Member) string {
	_, after, ok := strings.Cut(m.Endpoint(), "://")
	if !ok {
		return m.Endpoint()
	}
	return after
}
