package settings

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

var stores = map[string]Store{"etcd v2": Etcd2, "etcd v3": Etcd3, "Consul": Consul, "ZooKeeper": ZooKeeper}

// The default endpoints are those of the store on this machine.
func TestDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		store         Store
		plain, secure []string
	}{
		"etcd v2":   {Etcd2, []string{"http://127.0.0.1:2379"}, []string{"https://127.0.0.1:2379"}},
		"etcd v3":   {Etcd3, []string{"http://127.0.0.1:2379", "http://[::1]:2379"}, []string{"https://127.0.0.1:2379", "https://[::1]:2379"}},
		"Consul":    {Consul, []string{"127.0.0.1:8500"}, []string{"127.0.0.1:8501"}},
		"ZooKeeper": {ZooKeeper, []string{"127.0.0.1:2181"}, []string{"127.0.0.1:2181"}},
	} {
		for _, none := range [][]string{nil, {}} {
			read, err := c.store.Read(none, nil)
			require.NoError(t, err, name)
			require.Equal(t, c.plain, read.Given, name)
			require.Nil(t, read.TLS, name)
			again, err := c.store.Replace(read.Given, false)
			require.NoError(t, err, name)
			require.Equal(t, URLs(read.Endpoints), URLs(again), name)

			read, err = c.store.Read(none, map[string]string{kvdb.TransportScheme: "https"})
			require.NoError(t, err, name)
			require.Equal(t, c.secure, read.Given, name)
			require.NotNil(t, read.TLS, name)
			again, err = c.store.Replace(read.Given, true)
			require.NoError(t, err, name)
			require.Equal(t, URLs(read.Endpoints), URLs(again), name)
		}
		_, err := c.store.Replace(nil, false)
		require.ErrorIs(t, err, kvdb.ErrIllegal, name)
		require.ErrorContains(t, err, "no endpoint", name)
	}
}

func TestEndpoints(t *testing.T) {
	for given, want := range map[string]string{
		"host": "http://host:8500", "host:1": "http://host:1", "host:": "http://host:8500", "host/": "http://host:8500",
		"a-b.example.com:65535": "http://a-b.example.com:65535", "a_b.": "http://a_b.:8500", "bücher.example": "http://bücher.example:8500",
		"host:0": "http://host:0", "host:080": "http://host:80", "http://host": "http://host:8500", "HTTP://Host:1": "http://Host:1",
		"https://host": "https://host:8501", "HTTPS://host:1": "https://host:1", "Https://host": "https://host:8501",
		"127.0.0.1": "http://127.0.0.1:8500", "127.0.0.1:1": "http://127.0.0.1:1",
		"::1": "http://[::1]:8500", "[::1]": "http://[::1]:8500", "[::1]:1": "http://[::1]:1", "https://[::1]:": "https://[::1]:8501",
		"http://::1": "http://[::1]:8500", "fe80::1%eth0": "http://[fe80::1%25eth0]:8500", "http://[fe80::1%25eth0]:1": "http://[fe80::1%25eth0]:1",
		"http://host:1/consul": "http://host:1/consul", "host/a/b/": "http://host:8500/a/b", "host/a%20b": "http://host:8500/a%20b",
	} {
		read, err := Consul.Read([]string{given}, nil)
		require.NoError(t, err, given)
		require.Equal(t, []string{want}, read.URLs(), given)
		require.Equal(t, strings.HasPrefix(want, "https"), read.TLS != nil, given)
	}
}

// All stores refuse the same bad endpoints, and their errors name the endpoint.
func TestBadEndpoints(t *testing.T) {
	for _, given := range []string{
		"", " ", "://", "http://", "https:///", ":1", "/", "//host", "http:host", "http:/host", "http//host",
		"ftp://host", "unix://host", "http://http://host", "host:x", "host:-1", "host:+1", "host:65536", "host:1:2", "host:1_0",
		"a b", "a,b", "a:1,b:2", " host", "host ", "a\nb", "host\x00", "a\\b", "*", ".", "-", "%61",
		"127.0.0.256", "127.0.0.1.1", "127.0.0.01", "1.2.3",
		"::1:x", "[::1", "[::1]x", "[::1]1", "[host]", "[127.0.0.1]:1", "[]", "[::1]:x", "[::1]:65536", "1::2::3", "[fe80::1%25a b]", "[fe80::1%]",
		"host?", "host?token=secret", "host:1?a=b", "host#", "host:1#part", "http://host:1/?a", "host/%zz?secret",
		"http://user:secret@host", "user:secret@host", "host/a@b", "ftp://user:secret@host", "http://user:%secret@host", "http://user:secret%40host:1",
		"zk://user:secret@host",
	} {
		for name, store := range stores {
			for _, read := range []func() error{
				func() error { _, err := store.Read([]string{"good", given}, nil); return err },
				func() error { _, err := store.Replace([]string{"good", given}, false); return err },
			} {
				err := read()
				require.Error(t, err, "%s: %q", name, given)
				require.ErrorContains(t, err, "endpoint", "%s: %q", name, given)
				require.NotContains(t, err.Error(), "secret", "%s: %q", name, given)
				if strings.Contains(given, "@") {
					require.ErrorContains(t, err, store.login, name)
					require.ErrorContains(t, err, "endpoint 2", name)
				}
			}
		}
	}
	for name, store := range stores {
		_, err := store.Read([]string{"host/path"}, nil)
		if name == "Consul" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, `endpoint "host/path": must not have a path`, name)
		}
	}
}

// options returns the options of pairs of names and values.
func options(pairs ...string) map[string]string {
	o := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		o[pairs[i]] = pairs[i+1]
	}
	return o
}

// Endpoints and options turn TLS on or off, or contradict each other.
func TestWhenTLS(t *testing.T) {
	ca, err := servers.NewCA(t.TempDir())
	require.NoError(t, err)
	certFile, keyFile, err := ca.Issue("client", servers.Leaf{})
	require.NoError(t, err)
	none, scheme := options(), func(value string) map[string]string { return options(kvdb.TransportScheme, value) }
	pair := options(kvdb.CertFileKey, certFile, kvdb.CertKeyFileKey, keyFile)
	pairPlain := options(kvdb.CertFileKey, certFile, kvdb.CertKeyFileKey, keyFile, kvdb.TransportScheme, "http")
	authority, trusted := options(kvdb.CAFileKey, ca.File), options(kvdb.TrustedCAFileKey, ca.File)
	const no, yes, bad = "no", "yes", "bad"
	for _, c := range []struct {
		endpoints               []string
		options                 map[string]string
		etcd, consul, zooKeeper string
	}{
		{[]string{"a"}, none, no, no, no},
		{[]string{"http://a"}, none, no, no, no},
		{[]string{"a", "https://b"}, none, yes, yes, yes},
		{[]string{"HTTPS://b"}, none, yes, yes, yes},
		{[]string{"http://a", "https://b"}, none, bad, bad, bad},
		{[]string{"https://b", "a", "http://a"}, none, bad, bad, bad},
		{[]string{"a"}, scheme("http"), no, no, no},
		{[]string{"a"}, scheme("https"), yes, yes, yes},
		{[]string{"a"}, scheme("HTTPS://"), yes, yes, yes},
		{[]string{"http://a"}, scheme("https"), bad, bad, bad},
		{[]string{"https://a"}, scheme("http"), bad, bad, bad},
		{[]string{"a"}, scheme("ftp"), bad, bad, bad},
		{[]string{"a"}, scheme("tls"), bad, bad, yes},
		{[]string{"a"}, scheme("tcp"), bad, bad, no},
		{[]string{"tls://a"}, none, bad, bad, yes},
		{[]string{"TLS://a"}, none, bad, bad, yes},
		{[]string{"tcp://a"}, none, bad, bad, no},
		{[]string{"zk://a", "zookeeper://b"}, none, bad, bad, no},
		{[]string{"zk://a"}, scheme("tls"), bad, bad, yes},
		{[]string{"a"}, pair, yes, yes, yes},
		{[]string{"https://a"}, pair, yes, yes, yes},
		{[]string{"http://a"}, pair, bad, no, bad},
		{[]string{"a"}, pairPlain, yes, no, yes},
		{[]string{"a"}, authority, no, yes, yes},
		{[]string{"a"}, trusted, no, yes, yes},
		{[]string{"http://a"}, authority, no, no, bad},
	} {
		for _, s := range []struct {
			name, want string
			store      Store
		}{{"etcd v2", c.etcd, Etcd2}, {"etcd v3", c.etcd, Etcd3}, {"Consul", c.consul, Consul}, {"ZooKeeper", c.zooKeeper, ZooKeeper}} {
			read, err := s.store.Read(c.endpoints, c.options)
			got := no
			switch {
			case err != nil:
				got = bad
			case read.TLS != nil:
				got = yes
			}
			require.Equal(t, s.want, got, "%s: %q %v: %v", s.name, c.endpoints, c.options, err)
			for _, e := range read.Endpoints {
				require.Equal(t, got == yes, slices.Contains(s.store.secure, e.Scheme()))
			}
		}
	}
	_, err = Etcd3.Read([]string{"b", "http://a"}, scheme("https"))
	require.EqualError(t, err, `endpoint "http://a" does not use TLS, but option TransportScheme is "https"`)
	_, err = Etcd3.Read([]string{"https://b", "http://a"}, nil)
	require.EqualError(t, err, `endpoint "http://a" does not use TLS, but endpoint "https://b" uses TLS`)
	_, err = Etcd3.Read([]string{"http://a"}, pair)
	require.EqualError(t, err, `endpoint "http://a" does not use TLS, but option CertFile asks for TLS`)
	for name, store := range stores {
		_, err = store.Replace([]string{"b", "https://a"}, false)
		require.EqualError(t, err, `endpoint "https://a" uses TLS, but the instance does not use TLS`, name)
		_, err = store.Replace([]string{"b", "http://a"}, true)
		require.EqualError(t, err, `endpoint "http://a" does not use TLS, but the instance uses TLS`, name)
	}
}

// All stores refuse the same values, with the same texts.
func TestBadValues(t *testing.T) {
	for _, c := range []struct{ name, value, text string }{
		{kvdb.RetryCountKey, "x", `option RetryCount: "x" is not a non-negative integer`},
		{kvdb.RetryCountKey, "-1", `option RetryCount: "-1" is not a non-negative integer`},
		{kvdb.RetryCountKey, "1.5", `option RetryCount: "1.5" is not a non-negative integer`},
		{kvdb.RetryCountKey, "99999999999999999999", `option RetryCount: "99999999999999999999" is not a non-negative integer`},
		{kvdb.InsecureSkipVerify, "perhaps", `option InsecureSkipVerify: "perhaps" is not a boolean`},
		{kvdb.ClientCertAuthKey, "perhaps", `option ClientCertAuth: "perhaps" is not a boolean`},
		{kvdb.ClientCertAuthKey, "true", "option ClientCertAuth: " + kvdb.ErrNoCertificate.Error()},
		{kvdb.ReadConsistency, "some", `option ReadConsistency: "some" is not linearizable or stale`},
		{kvdb.CertFileKey, "a", "options CertFile and CertKeyFile must be set together"},
		{kvdb.CertKeyFileKey, "a", "options CertFile and CertKeyFile must be set together"},
	} {
		for name, store := range stores {
			_, err := store.Read([]string{"a"}, options(c.name, c.value))
			require.EqualError(t, err, c.text, name)
		}
	}
	for name, store := range stores {
		read, err := store.Read([]string{"a"}, options(kvdb.RetryCountKey, "", kvdb.InsecureSkipVerify, "", kvdb.ReadConsistency, "",
			kvdb.ClientCertAuthKey, "", kvdb.TransportScheme, "", kvdb.CAFileKey, "", kvdb.TrustedCAFileKey, "", kvdb.CertFileKey, "", kvdb.CertKeyFileKey, ""))
		require.NoError(t, err, name)
		require.Equal(t, store.retries, read.Retries, name)
		read, err = store.Read([]string{"a"}, options(kvdb.RetryCountKey, "7", kvdb.ReadConsistency, kvdb.ReadStale))
		require.NoError(t, err, name)
		require.Equal(t, 7, read.Retries, name)
		require.True(t, read.Stale, name)
	}
}

// FuzzEndpoint checks that the URL of an accepted endpoint is accepted and has the same
// meaning.
func FuzzEndpoint(f *testing.F) {
	for _, seed := range []string{
		"", "host", "host:1", "http://host", "HTTPS://host:443/", "[::1]:2379", "::1", "fe80::1%eth0", "http://[fe80::1%25eth0]:1",
		"zk://host", "tls://127.0.0.1:2281", "http://host:1/a/b", "http://user:secret@host", "a,b", "host:65536", "http://host?x", "[", "]:1", "host/%41",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		for name, store := range stores {
			read, err := store.Read([]string{given}, nil)
			if err != nil {
				require.ErrorContains(t, err, "endpoint", name)
				continue
			}
			e := read.Endpoints[0]
			again, err := store.Read([]string{e.URL()}, nil)
			require.NoError(t, err, "%s: %q is %q", name, given, e.URL())
			got := again.Endpoints[0]
			require.Equal(t, e.URL(), got.URL(), name)
			require.Equal(t, [3]string{e.Host, e.Port, e.Path}, [3]string{got.Host, got.Port, got.Path}, name)
			_, err = store.Replace([]string{e.Address()}, read.TLS != nil)
			require.NoError(t, err, "%s: %q", name, e.Address())
		}
	})
}
