package consul

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/testing/security"
	"github.com/portworx/kvdb/test/servers"
)

func TestBadOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := servers.NewCA(dir)
	require.NoError(t, err)
	certFile, keyFile, err := ca.Issue("client", servers.Leaf{})
	require.NoError(t, err)
	noCert := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(noCert, nil, 0o600))
	for _, c := range []struct {
		options map[string]string
		names   string
	}{
		{map[string]string{kvdb.CAFileKey: filepath.Join(dir, "missing")}, kvdb.CAFileKey},
		{map[string]string{kvdb.CAFileKey: noCert}, kvdb.CAFileKey},
		{map[string]string{kvdb.CertFileKey: certFile}, kvdb.CertKeyFileKey},
		{map[string]string{kvdb.CertKeyFileKey: keyFile}, kvdb.CertFileKey},
		{map[string]string{kvdb.CertFileKey: noCert, kvdb.CertKeyFileKey: keyFile}, kvdb.CertFileKey},
		{map[string]string{kvdb.InsecureSkipVerify: "perhaps"}, kvdb.InsecureSkipVerify},
		{map[string]string{kvdb.TransportScheme: "ftp"}, kvdb.TransportScheme},
		{map[string]string{kvdb.RetryCountKey: "x"}, kvdb.RetryCountKey},
		{map[string]string{kvdb.TrustedCAFileKey: noCert}, kvdb.TrustedCAFileKey},
		{map[string]string{kvdb.ReadConsistency: "eventual"}, kvdb.ReadConsistency},
	} {
		_, err := New("", []string{"127.0.0.1:1"}, c.options, nil)
		require.ErrorContains(t, err, c.names)
	}
	for _, options := range []map[string]string{
		{kvdb.UsernameKey: "me", kvdb.PasswordKey: "secret"}, {kvdb.UsernameKey: "me"}, {kvdb.PasswordKey: "secret"},
	} {
		_, err := New("", []string{"127.0.0.1:1"}, options, nil)
		require.True(t, err == kvdb.ErrAuthNotSupported)
	}
	for _, endpoint := range []string{"http://user:secret@127.0.0.1:1", "user:secret@host", "ftp://user:secret@host", "http://user:%secret@host"} {
		_, err := New("", []string{"127.0.0.1:1", endpoint}, nil, nil)
		require.ErrorContains(t, err, kvdb.ACLTokenKey)
		require.NotContains(t, err.Error(), "secret")
	}
	for _, endpoints := range [][]string{{""}, {"http://"}, {"ftp://127.0.0.1:1"}, {"127.0.0.1:1", ""}, {"127.0.0.1:x"}} {
		_, err := New("", endpoints, nil, nil)
		require.Error(t, err, "%q", endpoints)
		require.NotErrorIs(t, err, kvdb.ErrNoConnection)
	}
	_, err = New("a/../b", servers.Consul(t, servers.Options{}).Endpoints(), nil, nil)
	require.ErrorIs(t, err, kvdb.ErrIllegal)
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	began := time.Now()
	_, err := New("", []string{"http://127.0.0.1:1", "127.0.0.1:2"}, nil, nil)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.Less(t, time.Since(began), driver.CallTimeout)
}

// The environment of the process has no influence.
func TestEnvironment(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{ACL: true})
	for name, value := range map[string]string{
		"CONSUL_HTTP_ADDR": "127.0.0.1:1", "CONSUL_HTTP_TOKEN": cluster.Token, "CONSUL_HTTP_TOKEN_FILE": "/nonexistent",
		"CONSUL_HTTP_SSL": "true", "CONSUL_HTTP_AUTH": "a:b", "CONSUL_NAMESPACE": "other", "CONSUL_PARTITION": "other",
		"CONSUL_CACERT": "/nonexistent", "HTTP_PROXY": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	_, err := open(t, "env", cluster.Endpoints(), nil).Put("key", "value", 0)
	require.ErrorContains(t, err, "Permission denied", "the token of the environment")
	_, err = open(t, "env", cluster.Endpoints(), map[string]string{kvdb.ACLTokenKey: cluster.Token}).Put("key", "value", 0)
	require.NoError(t, err)
}

// The error says that Consul does not know the token, or does not know it any more. It does
// not contain the token.
func TestWrongToken(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{ACL: true})
	client, management := raw(t, cluster.All()[0]), &api.WriteOptions{Token: cluster.Token}
	made, _, err := client.ACL().TokenCreate(&api.ACLToken{}, management)
	require.NoError(t, err)
	token := made.SecretID
	kv := open(t, "acl", cluster.Endpoints(), map[string]string{kvdb.ACLTokenKey: token})
	_, err = client.ACL().TokenDelete(made.AccessorID, management)
	require.NoError(t, err)
	_, err = New("acl", cluster.Endpoints(), map[string]string{kvdb.ACLTokenKey: token}, nil)
	require.ErrorIs(t, err, kvdb.ErrLogin)
	require.NotErrorIs(t, err, kvdb.ErrNoConnection)
	require.NotContains(t, err.Error(), token)
	for call, f := range map[string]func() error{
		"Get":       func() error { _, err := kv.Get("key"); return err },
		"Put":       func() error { _, err := kv.Put("key", "value", 0); return err },
		"TTL":       func() error { _, err := kv.Put("key", "value", 60); return err },
		"Delete":    func() error { _, err := kv.Delete("key"); return err },
		"Lock":      func() error { _, err := kv.LockWithTimeout("key", "me", time.Second, 0); return err },
		"Enumerate": func() error { _, err := kv.Enumerate(""); return err },
	} {
		began := time.Now()
		err := f()
		require.ErrorIs(t, err, kvdb.ErrLogin, call)
		require.NotErrorIs(t, err, kvdb.ErrPermission, call)
		require.NotErrorIs(t, err, kvdb.ErrNoConnection, call)
		require.NotErrorIs(t, err, kvdb.ErrUnknownOutcome, call)
		require.NotContains(t, err.Error(), token)
		require.Less(t, time.Since(began), 5*time.Second, call)
	}
}

// A token has no permission in the domain. Consul silently leaves out of lists the keys that
// the token may not read.
func TestDenied(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{ACL: true})
	admin := open(t, "acl", cluster.Endpoints(), map[string]string{kvdb.ACLTokenKey: cluster.Token})
	pair, err := admin.Put("dir/key", "value", 0)
	require.NoError(t, err)
	client := raw(t, cluster.All()[0])
	management := &api.WriteOptions{Token: cluster.Token}
	policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: "elsewhere", Rules: `key_prefix "elsewhere/" { policy = "write" }`}, management)
	require.NoError(t, err)
	token, _, err := client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: policy.ID}}}, management)
	require.NoError(t, err)
	for _, options := range []map[string]string{{kvdb.ACLTokenKey: token.SecretID}, nil} {
		kv := open(t, "acl", cluster.Endpoints(), options)
		security.Denied(t, kv, "dir", pair, false)
		pairs, err := kv.Enumerate("dir/")
		require.NoError(t, err)
		require.Empty(t, pairs)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{ClientCertAuth: true, ServerLeaf: servers.Leaf{Hosts: []string{"server.dc1.consul"}}})
	certFile, keyFile, err := cluster.CA.Issue("client", servers.Leaf{})
	require.NoError(t, err)
	bare := strings.TrimPrefix(cluster.Endpoints()[0], "https://")
	good := map[string]string{
		kvdb.CAFileKey: cluster.CA.File, kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile,
		kvdb.CAAuthAddress: "server.dc1.consul",
	}
	for _, change := range []map[string]string{
		nil,
		{kvdb.CAAuthAddress: "server.dc1.consul:8501"},
		{kvdb.TransportScheme: "https"},
		{kvdb.CAFileKey: "", kvdb.TrustedCAFileKey: cluster.CA.File},
		{kvdb.CAFileKey: "", kvdb.CAAuthAddress: "", kvdb.InsecureSkipVerify: "true"},
	} {
		options := map[string]string{}
		for _, from := range []map[string]string{good, change} {
			for name, value := range from {
				options[name] = value
			}
		}
		_, err := open(t, "tls", []string{bare}, options).Put("key", "value", 0)
		require.NoError(t, err, change)
	}
	for name, change := range map[string]map[string]string{
		"no client certificate": {kvdb.CertFileKey: "", kvdb.CertKeyFileKey: ""},
		"another name":          {kvdb.CAAuthAddress: "somebody.else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := map[string]string{}
			for _, from := range []map[string]string{good, change} {
				for name, value := range from {
					options[name] = value
				}
			}
			_, err := New("tls", []string{bare}, options, nil)
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
			require.ErrorContains(t, err, "certificate")
		})
	}
}
