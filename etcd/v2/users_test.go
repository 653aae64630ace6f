package etcdv2

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
)

// withUsers starts a server that checks who a client is, by password or
// certificate, and returns the options of its root, who has the latter: the server
// takes a tenth of a second to check a password, with each request.
func withUsers(t *testing.T, members int) (*servers.Cluster, map[string]string) {
	t.Helper()
	cluster := servers.Etcd35(t, servers.Options{Members: members, ClientCertAuth: true})
	certFile, keyFile, err := cluster.CA.Issue("root", servers.Leaf{CommonName: "root"})
	require.NoError(t, err)
	options := map[string]string{
		kvdb.TrustedCAFileKey: cluster.CA.File, kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile,
	}
	s, err := open("", cluster.Endpoints(), options, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	m, _ := s.pool.Current()
	l, err := m.line()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l.begin(ctx, func() {})
	require.NoError(t, l.users.AddUser(ctx, "root", "secret"))
	c, err := client.New(client.Config{Endpoints: []string{m.url}, Transport: l})
	require.NoError(t, err)
	require.NoError(t, client.NewAuthAPI(c).Enable(ctx))
	return cluster, options
}

// The cases about users, with an administrator who has a password.
func TestUsers(t *testing.T) {
	t.Parallel()
	cluster, options := withUsers(t, 1)
	// A certificate counts for those without a password only.
	certFile, keyFile, err := cluster.CA.Issue("nobody", servers.Leaf{CommonName: "nobody"})
	require.NoError(t, err)
	options = maps.Clone(options)
	options[kvdb.CertFileKey], options[kvdb.CertKeyFileKey] = certFile, keyFile
	options[kvdb.UsernameKey], options[kvdb.PasswordKey] = "root", "secret"
	test.RunAuth(func(domain string, _ []string, more map[string]string, cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
		all := maps.Clone(options)
		maps.Copy(all, more)
		return New(domain, cluster.Endpoints(), all, cb)
	}, t)

	// What is granted for a subtree is enough for all that is done in it.
	root, err := New("users", cluster.Endpoints(), options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(root)) })
	require.NoError(t, root.AddUser("user", "password"))
	require.ErrorIs(t, root.AddUser("user", "another"), kvdb.ErrExist)
	require.NoError(t, root.GrantUserAccess("user", kvdb.ReadWritePermission, "dir"))
	options[kvdb.UsernameKey], options[kvdb.PasswordKey] = "user", "password"
	kv, err := New("users", cluster.Endpoints(), options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	told := make(chan string, 10)
	require.NoError(t, kv.WatchTree("dir/", 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil {
			told <- pair.Key
		}
		return err
	}))
	_, err = kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	require.Equal(t, "dir/key", receive(t, told))
	_, _, err = kv.Snapshot([]string{"dir/"}, true)
	require.NoError(t, err)
	pair, err := kv.Lock("dir/lock")
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(pair))
	names, err := kv.Keys("dir", "")
	require.NoError(t, err)
	require.Equal(t, []string{"key"}, names)
	require.NoError(t, kv.DeleteTree("dir"))
	_, err = kv.Put("dirt", "value", 0)
	require.Error(t, err, "a name that begins like the subtree's")
	_, err = kv.Lock("lock")
	require.Error(t, err, "the lock of another key")
	require.Error(t, kv.DeleteTree(""))
	// He may also ask how far a member is.
	s, err := open("users", cluster.Endpoints(), options, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	m, _ := s.pool.Current()
	index, err := m.ask(t.Context(), true)
	require.NoError(t, err)
	require.GreaterOrEqual(t, index, pair.ModifiedIndex)
	options[kvdb.PasswordKey] = "wrong"
	_, err = New("users", cluster.Endpoints(), options, nil)
	require.ErrorContains(t, err, "user")
	require.NotErrorIs(t, err, kvdb.ErrNoConnection)
}
