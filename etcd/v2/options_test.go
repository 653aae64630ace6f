package etcdv2

import (
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

func TestRegistered(t *testing.T) {
	require.Equal(t, "etcd-kv", Name)
	cluster := servers.Etcd35(t, servers.Options{})
	kv, err := kvdb.New(Name, "d", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	require.Equal(t, Name, kv.String())
	require.NoError(t, kvdb.Close(kv))
	_, err = kvdb.Version(Name, cluster.Endpoints()[0], nil)
	require.NoError(t, err)
}

// New fails with an error that names a bad option, before it sends a request. The
// tests of etcd/common and etcd/v3 have more options.
func TestBadOptions(t *testing.T) {
	good := []string{"http://127.0.0.1:1"}
	began := time.Now()
	for _, c := range []struct {
		options   map[string]string
		endpoints []string
		names     string
	}{
		{map[string]string{kvdb.ReadConsistency: "some"}, good, kvdb.ReadConsistency},
		{map[string]string{kvdb.RetryCountKey: "x"}, good, kvdb.RetryCountKey},
		{map[string]string{kvdb.TransportScheme: "ftp"}, good, kvdb.TransportScheme},
		{map[string]string{kvdb.CertFileKey: "none"}, good, kvdb.CertKeyFileKey},
		{map[string]string{kvdb.TrustedCAFileKey: "none"}, good, kvdb.TrustedCAFileKey},
		{map[string]string{kvdb.ClientCertAuthKey: "perhaps"}, good, kvdb.ClientCertAuthKey},
		{map[string]string{kvdb.InsecureSkipVerify: "perhaps"}, good, kvdb.InsecureSkipVerify},
		{nil, []string{"http://127.0.0.1:1", ""}, "endpoint"},
		{nil, []string{"http://127.0.0.1:1/path"}, "path"},
	} {
		_, err := New("d", c.endpoints, c.options, nil)
		require.ErrorContains(t, err, c.names, "%v %v", c.options, c.endpoints)
	}
	_, err := New("d", good, map[string]string{kvdb.UsernameKey: "user"}, nil)
	require.ErrorIs(t, err, kvdb.ErrNoPassword)
	require.Less(t, time.Since(began), 5*time.Second)
}

// New fails when the server does not speak the etcd v2 API.
func TestNoServer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	t.Cleanup(empty.Close)
	for name, c := range map[string]struct{ endpoint, text string }{
		"nobody":               {"http://127.0.0.1:1", "refused"},
		"no such host":         {"http://no-such-host.invalid", "no-such-host.invalid"},
		"silence":              {"http://" + silent.Addr().String(), silent.Addr().String()},
		"a web server":         {web.URL, "no v2 API"},
		"JSON of another kind": {empty.URL, "no node"},
		"etcd without v2":      {servers.Etcd(t, servers.Options{}).Endpoints()[0], "no v2 API"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := New("d", []string{c.endpoint}, nil, nil)
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
			require.ErrorContains(t, err, c.text)
			require.Less(t, time.Since(began), 10*time.Second)
		})
	}
}

// An answer that is not etcd's is an error with the text of the answer. A write may
// have run then. Watches and locks continue when the server answers again.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	kv := instance(t, cluster, "broken", map[string]string{kvdb.RetryCountKey: "2"}, n.wrap)
	events := watch(t, kv, "", 0)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	receive(t, events)
	for name, c := range map[string]struct {
		status     int
		body, text string
	}{
		"a page":          {http.StatusOK, "<html>", "json"},
		"nothing":         {http.StatusOK, "", "empty"},
		"other JSON":      {http.StatusOK, `{"a":1}`, "no node"},
		"half an answer":  {http.StatusOK, `{"action":"get","node":{"key":"/broken/`, "json"},
		"a proxy's error": {http.StatusBadGateway, "bad gateway", "bad gateway"},
		"a proxy's text":  {http.StatusServiceUnavailable, "upstream connect error", "upstream"},
		"etcd's error":    {http.StatusInternalServerError, `{"errorCode":300,"message":"Raft Internal Error","cause":"timed out"}`, "timed out"},
	} {
		t.Run(name, func(t *testing.T) {
			n.answer(c.status, c.body)
			defer n.mend()
			_, err := kv.Get("key")
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
			require.ErrorContains(t, err, c.text)
			_, err = kv.Enumerate("")
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
			_, err = kv.Put("key", "value", 0)
			require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
			require.ErrorContains(t, err, c.text)
			_, err = kv.Delete("key")
			require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
			_, err = kv.ListMembers()
			require.Error(t, err)
		})
	}
	// etcd's own proxy does not forward a request when it knows no member.
	n.answer(http.StatusServiceUnavailable, `{"message":"httpproxy: zero endpoints currently available"}`)
	_, err = kv.Put("key", "value", 0)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	n.mend()
	pair, err := kv.Put("key", "at last", 0)
	require.NoError(t, err)
	last := event(kvdb.KVSet, "key", pair.ModifiedIndex)
	if pair.CreatedIndex == pair.ModifiedIndex {
		last = event(kvdb.KVCreate, "key", pair.ModifiedIndex)
	}
	for e := (watchCall{}); e != last; e = receive(t, events) {
		require.NoError(t, e.err)
	}
	lock, err := kv.LockWithTimeout("lock", "me", await, 0)
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))
}

// Some endpoints may be down or silent, because New tries them side by side. The first call
// uses the endpoint that has answered.
func TestSomeEndpointsDown(t *testing.T) {
	t.Parallel()
	cluster, away := servers.Etcd35(t, servers.Options{}), servers.Etcd35(t, servers.Options{})
	require.NoError(t, away.All()[0].Clients().Blackhole())
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	good := strings.TrimPrefix(cluster.Endpoints()[0], "http://")
	n := &network{}
	began := time.Now()
	kv, err := newInstance("d", []string{
		away.Endpoints()[0], silent.Addr().String(), "127.0.0.1:1", "no-such-host.invalid", silent.Addr().String(), good, "127.0.0.1:2",
	}, nil, nil, n.wrap)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	require.Less(t, time.Since(began), 5*time.Second)
	before := n.count(everything)
	for range 20 {
		_, err := kv.Put("key", "value", 0)
		require.NoError(t, err)
	}
	require.Equal(t, before+21, n.count(everything), "a request for each Put, and one for a new key")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{ClientCertAuth: true})
	certFile, keyFile, err := cluster.CA.Issue("client", servers.Leaf{CommonName: "client"})
	require.NoError(t, err)
	options := map[string]string{kvdb.CAFileKey: cluster.CA.File, kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile}
	address := strings.TrimPrefix(cluster.Endpoints()[0], "https://")
	for _, endpoint := range []string{"https://" + address, address} {
		kv, err := New("d", []string{endpoint}, options, nil)
		require.NoError(t, err)
		_, err = kv.Put("key", "value", 0)
		require.NoError(t, err)
		require.NoError(t, kvdb.Close(kv))
	}
	elsewhere, err := servers.NewCA(t.TempDir())
	require.NoError(t, err)
	expiredCert, expiredKey, err := cluster.CA.Issue("expired", servers.Leaf{NotAfter: time.Now().Add(-time.Hour)})
	require.NoError(t, err)
	another := servers.Etcd35(t, servers.Options{TLS: true, ServerLeaf: servers.Leaf{Hosts: []string{"another.example"}}})
	with := func(change map[string]string) map[string]string {
		changed := maps.Clone(options)
		maps.Copy(changed, change)
		return changed
	}
	for _, options := range []map[string]string{
		{kvdb.CAFileKey: another.CA.File, kvdb.CAAuthAddress: "another.example"}, {kvdb.InsecureSkipVerify: "true"},
	} {
		kv, err := New("d", another.Endpoints(), options, nil)
		require.NoError(t, err, "%v", options)
		_, err = kv.Put("key", "value", 0)
		require.NoError(t, err)
		require.NoError(t, kvdb.Close(kv))
	}
	for name, c := range map[string]struct {
		endpoints []string
		options   map[string]string
		text      string
	}{
		"another authority":        {cluster.Endpoints(), with(map[string]string{kvdb.TrustedCAFileKey: elsewhere.File}), "certificate"},
		"an expired certificate":   {cluster.Endpoints(), with(map[string]string{kvdb.CertFileKey: expiredCert, kvdb.CertKeyFileKey: expiredKey}), "certificate"},
		"no certificate":           {cluster.Endpoints(), map[string]string{kvdb.CAFileKey: cluster.CA.File, kvdb.TransportScheme: "https"}, "certificate"},
		"no TLS":                   {[]string{"http://" + address}, nil, address},
		"a server of another name": {another.Endpoints(), map[string]string{kvdb.CAFileKey: another.CA.File}, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New("d", c.endpoints, c.options, nil)
			require.ErrorContains(t, err, c.text)
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
		})
	}
}
