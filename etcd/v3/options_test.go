package etcdv3

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/etcd/common"
	"github.com/portworx/kvdb/test/servers"
)

func TestRegistered(t *testing.T) {
	require.Equal(t, "etcdv3-kv", Name)
	cluster := servers.Etcd(t, servers.Options{})
	version, err := kvdb.Version(Name, cluster.Endpoints()[0], nil)
	require.NoError(t, err)
	require.Equal(t, kvdb.EtcdVersion3, version)
	endpoints := cluster.Endpoints()
	kv, err := kvdb.New(Name, "d", endpoints, nil, nil)
	require.NoError(t, err)
	require.Equal(t, Name, kv.String())
	endpoints[0] = "changed"
	require.Equal(t, cluster.Endpoints(), kv.GetEndpoints())
	require.NoError(t, kvdb.Close(kv))
}

// New fails with an error that names a bad option, before it sends a request.
func TestBadOptions(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk")
	require.NoError(t, os.WriteFile(junk, []byte("junk"), 0o600))
	good := []string{"http://127.0.0.1:1"}
	began := time.Now()
	for _, c := range []struct {
		options   map[string]string
		endpoints []string
		names     string
	}{
		{map[string]string{kvdb.ReadConsistency: "some"}, good, kvdb.ReadConsistency},
		{map[string]string{kvdb.RetryCountKey: "x"}, good, kvdb.RetryCountKey},
		{map[string]string{kvdb.RetryCountKey: "-1"}, good, kvdb.RetryCountKey},
		{map[string]string{kvdb.TransportScheme: "ftp"}, good, kvdb.TransportScheme},
		{map[string]string{kvdb.TransportScheme: "https"}, good, "127.0.0.1"},
		{map[string]string{kvdb.PasswordKey: "x"}, good, kvdb.PasswordKey},
		{map[string]string{kvdb.CertFileKey: junk}, good, kvdb.CertKeyFileKey},
		{map[string]string{kvdb.CAFileKey: junk + "none"}, good, kvdb.CAFileKey},
		{map[string]string{kvdb.TrustedCAFileKey: junk + "none"}, good, kvdb.TrustedCAFileKey},
		{map[string]string{kvdb.TrustedCAFileKey: junk}, []string{"https://127.0.0.1:1"}, kvdb.TrustedCAFileKey},
		{map[string]string{kvdb.CertFileKey: junk, kvdb.CertKeyFileKey: junk}, []string{"127.0.0.1:1"}, kvdb.CertFileKey},
		{map[string]string{kvdb.ClientCertAuthKey: "perhaps"}, good, kvdb.ClientCertAuthKey},
		{map[string]string{kvdb.InsecureSkipVerify: "perhaps"}, good, kvdb.InsecureSkipVerify},
		{map[string]string{kvdb.ClientCertAuthKey: "true"}, good, kvdb.ClientCertAuthKey},
		{nil, []string{""}, "endpoint"},
		{nil, []string{"http://127.0.0.1:1", ""}, "endpoint"},
		{nil, []string{"ftp://127.0.0.1:1"}, "ftp"},
		{nil, []string{"http://:2379"}, "endpoint"},
		{nil, []string{"http://127.0.0.1:1/path"}, "path"},
		{nil, []string{"http://127.0.0.1:1", "https://127.0.0.1:2"}, "127.0.0.1:1"},
		{nil, []string{"http://127.0.0.1:x"}, "127.0.0.1:x"},
	} {
		_, err := New("d", c.endpoints, c.options, nil)
		require.ErrorContains(t, err, c.names, "%v %v", c.options, c.endpoints)
	}
	_, err := New("d", good, map[string]string{kvdb.UsernameKey: "user"}, nil)
	require.ErrorIs(t, err, kvdb.ErrNoPassword)
	require.Less(t, time.Since(began), 5*time.Second)
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		given, want []string
		secure      bool
	}{
		{[]string{"a", "b:1", "http://c", "http://d:2/"}, []string{"http://a:2379", "http://b:1", "http://c:2379", "http://d:2"}, false},
		{[]string{"a", "https://c"}, []string{"https://a:2379", "https://c:2379"}, false},
		{[]string{"a"}, []string{"https://a:2379"}, true},
		{[]string{"[::1]:5", "http://[::1]"}, []string{"http://[::1]:5", "http://[::1]:2379"}, false},
	} {
		urls, err := common.Endpoints(c.given, c.secure)
		require.NoError(t, err)
		require.Equal(t, c.want, urls)
	}
}

// fails asserts that New fails in time with an error that contains texts.
func fails(t *testing.T, endpoints []string, options map[string]string, texts ...string) error {
	t.Helper()
	began := time.Now()
	_, err := New("d", endpoints, options, nil)
	require.Error(t, err)
	require.Less(t, time.Since(began), 10*time.Second)
	for _, text := range texts {
		require.ErrorContains(t, err, text)
	}
	return err
}

// New fails when the server does not speak the etcd v3 API.
func TestNoServer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	other := grpc.NewServer()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = other.Serve(listener) }()
	t.Cleanup(other.Stop)
	for name, endpoint := range map[string]string{
		"nobody":       "http://127.0.0.1:1",
		"no such host": "http://no-such-host.invalid",
		"silence":      "http://" + silent.Addr().String(),
		"a web server": web.URL,
		"other gRPC":   "http://" + listener.Addr().String(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := New("d", []string{endpoint}, nil, nil)
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
			require.Less(t, time.Since(began), 10*time.Second)
			t.Log(err)
		})
	}
}

// Some endpoints may be down or silent, because New tries them side by side, also to
// log in.
func TestSomeEndpointsDown(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4"}})
	away := servers.Etcd(t, servers.Options{})
	require.NoError(t, away.All()[0].Clients().Blackhole())
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	endpoints := []string{
		away.Endpoints()[0], silent.Addr().String(), "127.0.0.1:1", "no-such-host.invalid", silent.Addr().String(),
		strings.TrimPrefix(cluster.Endpoints()[0], "http://"), "127.0.0.1:2",
	}
	use := func(options map[string]string) {
		began := time.Now()
		kv, err := New("d", endpoints, options, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
		for range 20 {
			_, err := kv.Put("key", "value", 0)
			require.NoError(t, err)
		}
		require.Less(t, time.Since(began), 5*time.Second)
	}
	use(nil)
	use(withUsers(t, cluster))
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{ClientCertAuth: true})
	certFile, keyFile, err := cluster.CA.Issue("client", servers.Leaf{CommonName: "client"})
	require.NoError(t, err)
	options := func(more ...string) map[string]string {
		o := map[string]string{kvdb.CAFileKey: cluster.CA.File, kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile}
		for i := 0; i < len(more); i += 2 {
			o[more[i]] = more[i+1]
		}
		return o
	}
	address := strings.TrimPrefix(cluster.Endpoints()[0], "https://")
	for _, endpoint := range []string{"https://" + address, address} {
		kv, err := New("d", []string{endpoint}, options(), nil)
		require.NoError(t, err)
		_, err = kv.Put("key", "value", 0)
		require.NoError(t, err)
		require.NoError(t, kvdb.Close(kv))
		version, err := common.Version(endpoint, options())
		require.NoError(t, err)
		require.Equal(t, kvdb.EtcdVersion3, version)
	}
	elsewhere, err := servers.NewCA(t.TempDir())
	require.NoError(t, err)
	err = fails(t, cluster.Endpoints(), options(kvdb.TrustedCAFileKey, elsewhere.File), "certificate")
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	_, err = common.Version(cluster.Endpoints()[0], options(kvdb.TrustedCAFileKey, elsewhere.File))
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	expiredCert, expiredKey, err := cluster.CA.Issue("expired", servers.Leaf{NotAfter: time.Now().Add(-time.Hour)})
	require.NoError(t, err)
	err = fails(t, cluster.Endpoints(), options(kvdb.CertFileKey, expiredCert, kvdb.CertKeyFileKey, expiredKey), "certificate")
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	fails(t, cluster.Endpoints(), map[string]string{kvdb.CAFileKey: cluster.CA.File}, "certificate")
	fails(t, []string{"http://" + address}, nil)
}

// works asserts that New returns an instance that writes and lists its members.
func works(t *testing.T, endpoints []string, options map[string]string) {
	t.Helper()
	kv, err := New("d", endpoints, options, nil)
	require.NoError(t, err, "%v", options)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	members, err := kv.ListMembers()
	require.NoError(t, err)
	for _, m := range members {
		require.True(t, m.IsHealthy)
	}
}

// New fails when the server's certificate is not valid, unless the options name
// another host or turn the check off.
func TestServerCertificate(t *testing.T) {
	for name, leaf := range map[string]servers.Leaf{
		"expired":      {NotAfter: time.Now().Add(-time.Hour)},
		"another host": {Hosts: []string{"another.example"}},
	} {
		cluster := servers.Etcd(t, servers.Options{TLS: true, ServerLeaf: leaf})
		options := map[string]string{kvdb.TransportScheme: "https", kvdb.CAFileKey: cluster.CA.File}
		err := fails(t, cluster.Endpoints(), options, "certificate")
		require.ErrorIs(t, err, kvdb.ErrNoConnection, name)
		options[kvdb.InsecureSkipVerify] = "true"
		works(t, cluster.Endpoints(), options)
		if name == "another host" {
			options[kvdb.InsecureSkipVerify] = ""
			options[kvdb.CAAuthAddress] = "another.example"
			works(t, cluster.Endpoints(), options)
			options[kvdb.CAAuthAddress] = "third.example"
			fails(t, cluster.Endpoints(), options, "third.example")
		}
	}
}
