package zookeeper

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// New returns an error that names the bad option.
func TestBadOptions(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "garbage")
	require.NoError(t, os.WriteFile(garbage, []byte("garbage"), 0o600))
	for _, c := range []struct{ name, value, named string }{
		{kvdb.PasswordKey, "secret", kvdb.PasswordKey},
		{kvdb.RetryCountKey, "many", kvdb.RetryCountKey},
		{kvdb.RetryCountKey, "-1", kvdb.RetryCountKey},
		{kvdb.ReadConsistency, "fresh", kvdb.ReadConsistency},
		{kvdb.TransportScheme, "ftp", kvdb.TransportScheme},
		{kvdb.InsecureSkipVerify, "perhaps", kvdb.InsecureSkipVerify},
		{kvdb.CAFileKey, garbage, kvdb.CAFileKey},
		{kvdb.TrustedCAFileKey, garbage + "-missing", kvdb.TrustedCAFileKey},
		{kvdb.CertFileKey, garbage, kvdb.CertKeyFileKey},
		{kvdb.CertKeyFileKey, garbage, kvdb.CertFileKey},
	} {
		_, err := New("d", []string{"127.0.0.1:1"}, map[string]string{c.name: c.value}, nil)
		require.ErrorContains(t, err, c.named)
	}
	_, err := New("d", []string{"127.0.0.1:1"}, map[string]string{kvdb.UsernameKey: "me"}, nil)
	require.Equal(t, kvdb.ErrNoPassword, err)
	_, err = New("d", []string{"127.0.0.1:1"}, map[string]string{kvdb.UsernameKey: "m:e", kvdb.PasswordKey: "x"}, nil)
	require.ErrorContains(t, err, kvdb.UsernameKey)
	for _, endpoints := range [][]string{{""}, {"host:x"}, {"a,b"}, {"http://host:1/path"}, {"ftp://host"}, {"http://a", "tls://b"}} {
		_, err := New("d", endpoints, nil, nil)
		require.ErrorContains(t, err, "endpoint", "%q", endpoints)
	}
}

// TLS works if the client trusts the server and, where the server asks for a certificate, the
// server trusts the client.
func TestTLS(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster := servers.ZooKeeper(t, servers.Options{ClientCertAuth: true})
	certFile, keyFile, err := cluster.CA.Issue("client", servers.Leaf{CommonName: "client"})
	require.NoError(t, err)
	stranger, err := servers.NewCA(t.TempDir())
	require.NoError(t, err)
	strangeCert, strangeKey, err := stranger.Issue("client", servers.Leaf{CommonName: "client"})
	require.NoError(t, err)
	with := func(more map[string]string) map[string]string {
		options := map[string]string{
			kvdb.TrustedCAFileKey: cluster.CA.File, kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile,
		}
		maps.Copy(options, more)
		return options
	}
	for name, options := range map[string]map[string]string{
		"plain":                   nil,
		"no certificate":          {kvdb.TrustedCAFileKey: cluster.CA.File},
		"nobody known":            {kvdb.TransportScheme: "https", kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile},
		"another authority":       with(map[string]string{kvdb.TrustedCAFileKey: stranger.File}),
		"a stranger":              with(map[string]string{kvdb.CertFileKey: strangeCert, kvdb.CertKeyFileKey: strangeKey}),
		"another name wanted":     with(map[string]string{kvdb.CAAuthAddress: "other.example"}),
		"TLS switched off by all": {kvdb.TransportScheme: "http"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := New("d", cluster.Endpoints(), options, nil)
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
			require.Less(t, time.Since(began), 10*time.Second)
		})
	}
	for name, options := range map[string]map[string]string{
		"certificates": with(nil),
		"CAFile":       {kvdb.CAFileKey: cluster.CA.File, kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile},
		"any server":   with(map[string]string{kvdb.TrustedCAFileKey: stranger.File, kvdb.InsecureSkipVerify: "true"}),
		"and a login":  with(map[string]string{kvdb.UsernameKey: "me", kvdb.PasswordKey: "secret"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kv := instance(t, name, cluster.Endpoints(), options)
			seen := events(t, kv, "", 0)
			put, err := kv.Put("key", "value", 0)
			require.NoError(t, err)
			pair, err := kv.Get("key")
			require.NoError(t, err)
			require.Equal(t, "value", string(pair.Value))
			require.Equal(t, put.ModifiedIndex, receive(t, seen, "the event").ModifiedIndex)
			lock, err := kv.LockWithTimeout("key", "me", 0, 0)
			require.NoError(t, err)
			require.NoError(t, kv.Unlock(lock))
		})
	}
}

// An endpoint with a scheme of TLS is reached by TLS, and never in plain text.
func TestSecureScheme(t *testing.T) {
	t.Parallel() // it mostly waits
	secure, plain := servers.ZooKeeper(t, servers.Options{TLS: true}), servers.ZooKeeper(t, servers.Options{})
	login := map[string]string{kvdb.UsernameKey: "me", kvdb.PasswordKey: "secret"}
	trusting := maps.Clone(login)
	trusting[kvdb.InsecureSkipVerify] = "true"
	for _, scheme := range []string{"https://", "tls://", "HTTPS://"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			kv := instance(t, "d", []string{scheme + secure.Endpoints()[0]}, trusting)
			_, err := kv.Put("key", "value", 0)
			require.NoError(t, err)
			_, err = New("d", []string{scheme + plain.Endpoints()[0]}, login, nil)
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
		})
	}
	for _, scheme := range []string{"http://", "tcp://", "zk://", ""} {
		_, err := instance(t, "d", []string{scheme + plain.Endpoints()[0]}, login).Put("key", "value", 0)
		require.NoError(t, err, scheme)
	}
}

// A secret in an endpoint is not shown.
func TestSecretInAnEndpoint(t *testing.T) {
	for _, endpoint := range []string{"zk://user:secret@127.0.0.1:1", "user:secret@127.0.0.1:1", "user:secret@host", "user:secret@host:x"} {
		_, err := New("", []string{"127.0.0.1:1", endpoint}, nil, nil)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
	}
}

// The error of a server that refuses a login is not that of a server that cannot be reached.
func TestLoginRefused(t *testing.T) {
	t.Parallel()
	cluster := servers.ZooKeeper(t, servers.Options{Args: []string{"-Dzookeeper.DigestAuthenticationProvider.enabled=false"}})
	began := time.Now()
	_, err := New("d", cluster.Endpoints(), map[string]string{kvdb.UsernameKey: "me", kvdb.PasswordKey: "secret"}, nil)
	require.ErrorIs(t, err, kvdb.ErrLogin)
	require.NotErrorIs(t, err, kvdb.ErrNoConnection)
	require.NotContains(t, err.Error(), "secret")
	require.Less(t, time.Since(began), 5*time.Second)
	_, err = instance(t, "d", cluster.Endpoints(), nil).Put("key", "value", 0)
	require.NoError(t, err)
}
