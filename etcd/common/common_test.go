package common_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/etcd/common"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
)

func TestAuthInfo(t *testing.T) {
	ca, err := servers.NewCA(t.TempDir())
	require.NoError(t, err)
	certFile, keyFile, err := ca.Issue("client", servers.Leaf{})
	require.NoError(t, err)
	options := map[string]string{
		kvdb.UsernameKey: "user", kvdb.PasswordKey: "password", kvdb.CAFileKey: ca.File,
		kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile, kvdb.ClientCertAuthKey: "true",
	}
	info, user, password, err := common.NewEtcdCommon(options).GetAuthInfoFromOptions()
	require.NoError(t, err)
	require.Equal(t, "user", user)
	require.Equal(t, "password", password)
	require.Equal(t, certFile, info.CertFile)
	require.Equal(t, keyFile, info.KeyFile)
	require.Equal(t, ca.File, info.TrustedCAFile, "without TrustedCAFile it is CAFile")
	require.True(t, info.ClientCertAuth)

	options[kvdb.PasswordKey] = ""
	_, _, _, err = common.NewEtcdCommon(options).GetAuthInfoFromOptions()
	require.Equal(t, kvdb.ErrNoPassword, err)
}

func TestTLSEnabled(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		enabled bool
	}{
		{nil, false},
		{map[string]string{kvdb.TransportScheme: "http"}, false},
		{map[string]string{kvdb.TransportScheme: "https"}, true},
		{map[string]string{kvdb.CertFileKey: "a"}, false},
		{map[string]string{kvdb.CertFileKey: "a", kvdb.CertKeyFileKey: "b"}, true},
		{map[string]string{kvdb.CAFileKey: "a"}, false},
	} {
		require.Equal(t, c.enabled, common.NewEtcdCommon(c.options).IsTLSEnabled(), "%v", c.options)
	}
}

func TestRetryCount(t *testing.T) {
	require.Equal(t, common.DefaultRetryCount, common.NewEtcdCommon(nil).GetRetryCount())
	require.Equal(t, 7, common.NewEtcdCommon(map[string]string{kvdb.RetryCountKey: "7"}).GetRetryCount())
	require.Equal(t, common.DefaultRetryCount, common.NewEtcdCommon(map[string]string{kvdb.RetryCountKey: "x"}).GetRetryCount())
	_, err := common.RetryCount(map[string]string{kvdb.RetryCountKey: "x"})
	require.ErrorContains(t, err, kvdb.RetryCountKey)
}

// An error does not show a password in an endpoint.
func TestUserInEndpoint(t *testing.T) {
	for _, endpoint := range []string{"http://user:secret@host:1", "user:secret@host", "ftp://user:secret@host", "http://user:%secret@host"} {
		_, err := common.Endpoints([]string{"http://other:1", endpoint}, false)
		require.ErrorContains(t, err, kvdb.UsernameKey)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestVersion(t *testing.T) {
	for body, want := range map[string]string{
		`{"etcdserver":"3.6.16","etcdcluster":"3.6.0"}`: kvdb.EtcdVersion3,
		`{"etcdserver":"2.3.8","etcdcluster":"2.3.0"}`:  kvdb.EtcdBaseVersion,
		`{"etcdserver":"1.0"}`:                          kvdb.EtcdBaseVersion,
		`etcd 0.4.9`:                                    kvdb.EtcdBaseVersion,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, "/version", r.URL.Path)
			_, _ = w.Write([]byte(body))
		}))
		version, err := common.Version(server.URL, nil)
		require.NoError(t, err)
		require.Equal(t, want, version)
		server.Close()
		_, err = common.Version(server.URL, nil)
		require.ErrorIs(t, err, kvdb.ErrNoConnection)
	}
	for _, body := range []string{`{"etcdserver":"9.1"}`, `{}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		_, err := common.Version(server.URL, nil)
		require.ErrorIs(t, err, kvdb.ErrNotSupported)
		server.Close()
	}
	_, err := common.Version("", nil)
	require.ErrorContains(t, err, "endpoint")
}

// notRun skips a test with a reason. On CI the test fails instead.
func notRun(t *testing.T, format string, args ...any) {
	t.Helper()
	say := t.Skipf
	if os.Getenv("CI") != "" {
		say = t.Fatalf
	}
	say("NOT RUN: "+format, args...)
}

// TestStart starts a server, which keeps its data, and TestStop stops it.
func TestStartAndStop(t *testing.T) {
	folder := os.Getenv("KVDB_SERVERS")
	if folder == "" {
		folder = "../../.servers"
	}
	folder, err := filepath.Abs(filepath.Join(folder, "etcd"))
	require.NoError(t, err)
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("TMPDIR", t.TempDir())
	if _, err := exec.LookPath("etcd"); err != nil {
		notRun(t, "%v; `make servers` provides it", err)
	}
	const url = "http://127.0.0.1:2379"
	if _, err := common.Version(url, nil); err == nil {
		notRun(t, "something serves on etcd's default port")
	}
	require.NoError(t, common.TestStop(), "nothing to stop")
	require.NoError(t, common.TestStart(true))
	require.Error(t, common.TestStart(true), "it runs already")
	version, err := common.Version(url, nil)
	require.NoError(t, err)
	require.Equal(t, kvdb.EtcdVersion3, version)
	kv, err := etcdv3.New("d", nil, nil, nil) // without endpoints it is that one
	require.NoError(t, err)
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	require.Equal(t, []string{url, "http://[::1]:2379"}, kv.GetEndpoints())
	require.NoError(t, kvdb.Close(kv))
	require.NoError(t, common.TestStop())
	_, err = common.Version(url, nil)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.NoError(t, common.TestStart(false))
	require.NoError(t, common.TestStop())
}

// TestStart fails when another server uses the port.
func TestStartBesideAnother(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:2379")
	if err != nil {
		notRun(t, "etcd's default port: %v", err)
	}
	other := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"health":"true"}`))
	}))
	require.NoError(t, other.Listener.Close())
	other.Listener = l
	other.Start()
	defer other.Close()
	require.ErrorContains(t, common.TestStart(true), "another server")
}
