// Package security tests, on real servers, that certificates and authorities can be
// replaced while an instance is open, and that a refused call returns kvdb.ErrPermission.
package security

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

const (
	// lifetime is the validity of a client's first certificate. It is long enough for New
	// and a few calls.
	lifetime = 8 * time.Second
	// patience is the time that a test waits for an event that must happen.
	patience = 30 * time.Second
)

// Renewal asserts that an instance keeps working when its certificate is renewed in
// place, and when the servers move to another authority. start starts the servers.
func Renewal(t *testing.T, init kvdb.DatastoreInit, start func(testing.TB, servers.Options) *servers.Cluster) {
	t.Run("client certificate", func(t *testing.T) {
		t.Parallel() // because it mostly waits
		clientCertificate(t, init, start(t, servers.Options{ClientCertAuth: true}))
	})
	t.Run("authorities", func(t *testing.T) {
		t.Parallel()
		authorities(t, init, start(t, servers.Options{TLS: true}))
	})
}

func clientCertificate(t *testing.T, init kvdb.DatastoreInit, cluster *servers.Cluster) {
	expiry := time.Now().Add(lifetime)
	certFile, keyFile, err := cluster.CA.Issue("client", servers.Leaf{CommonName: "client", NotAfter: expiry})
	require.NoError(t, err)
	kv := open(t, init, cluster, map[string]string{
		kvdb.CAFileKey: cluster.CA.File, kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile,
	})
	values := make(chan string, 10)
	require.NoError(t, kv.WatchKey("key", 0, nil, func(_ string, _ any, pair *kvdb.KVPair, err error) error {
		if err == nil {
			values <- string(pair.Value)
		}
		return err
	}))
	lock, err := kv.LockWithTimeout("lock", "me", patience, 0)
	require.NoError(t, err)
	write(t, kv, "with the first one")
	await(t, values, "with the first one")
	require.False(t, time.Now().After(expiry), "the first certificate has expired too early for the test")

	_, _, err = cluster.CA.Issue("client", servers.Leaf{CommonName: "client"})
	require.NoError(t, err)
	<-time.After(time.Until(expiry.Add(time.Second))) // the end of a certificate is in whole seconds
	cut(t, cluster)
	write(t, kv, "with the second one")
	await(t, values, "with the second one")
	require.NoError(t, kv.Unlock(lock), "the lock is still held")
}

func authorities(t *testing.T, init kvdb.DatastoreInit, cluster *servers.Cluster) {
	first := read(t, cluster.CA.File)
	file := filepath.Join(t.TempDir(), "authorities.pem")
	require.NoError(t, os.WriteFile(file, first, 0o600))
	kv := open(t, init, cluster, map[string]string{kvdb.TrustedCAFileKey: file, kvdb.TransportScheme: "https"})
	write(t, kv, "of the first one")

	require.NoError(t, cluster.RotateCA())
	second := read(t, cluster.CA.File)
	require.NoError(t, os.WriteFile(file, slices.Concat(first, second), 0o600))
	cut(t, cluster)
	write(t, kv, "of the first one, with both")
	for _, m := range cluster.All() {
		require.NoError(t, m.Restart())
	}
	write(t, kv, "of the second one")

	require.NoError(t, os.WriteFile(file, second, 0o600))
	cut(t, cluster)
	write(t, kv, "of the second one alone")
}

func open(t *testing.T, init kvdb.DatastoreInit, cluster *servers.Cluster, options map[string]string) kvdb.Kvdb {
	t.Helper()
	kv, err := init("renewal", cluster.Endpoints(), options, func(err error, format string, args ...any) {
		t.Errorf("fatal: %v: "+format, append([]any{err}, args...)...)
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	return content
}

// cut closes all connections of clients, so that they open new ones.
func cut(t *testing.T, cluster *servers.Cluster) {
	t.Helper()
	for _, m := range cluster.All() {
		require.NoError(t, m.Clients().Cut())
		require.NoError(t, m.Clients().Heal())
	}
}

// write writes a value and reads it. A read before the write finds the closed connections,
// because a read may be sent again.
func write(t *testing.T, kv kvdb.Kvdb, value string) {
	t.Helper()
	if _, err := kv.Get("key"); err != nil {
		require.ErrorIs(t, err, kvdb.ErrNotFound, "before %q", value)
	}
	_, err := kv.Put("key", value, 0)
	require.NoError(t, err, value)
	pair, err := kv.Get("key")
	require.NoError(t, err, value)
	require.Equal(t, value, string(pair.Value))
}

func await(t *testing.T, values <-chan string, want string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case value := <-values:
			if value == want {
				return
			}
		case <-deadline:
			require.FailNow(t, "no event", want)
		}
	}
}
