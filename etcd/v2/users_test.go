package etcdv2

import (
	"context"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/testing/security"
	"github.com/portworx/kvdb/test/servers"
)

// withUsers starts a server with users, who log in with a password or a
// certificate. It returns the options of the user root, with a certificate, because
// with a password the server takes a tenth of a second for each request.
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
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	m := s.pool.Current()
	c, err := m.take()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c.begin(ctx, func() {})
	require.NoError(t, c.users.AddUser(ctx, "root", "secret"))
	api, err := client.New(client.Config{Endpoints: []string{m.url}, Transport: c})
	require.NoError(t, err)
	require.NoError(t, client.NewAuthAPI(api).Enable(ctx))
	return cluster, options
}

// logins returns a function that makes options for a user from those of root. The
// server ignores the certificate of a user with a password.
func logins(t *testing.T, cluster *servers.Cluster, options map[string]string) func(user, password string) map[string]string {
	t.Helper()
	certFile, keyFile, err := cluster.CA.Issue("nobody", servers.Leaf{CommonName: "nobody"})
	require.NoError(t, err)
	return func(user, password string) map[string]string {
		o := maps.Clone(options)
		maps.Copy(o, map[string]string{
			kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile, kvdb.UsernameKey: user, kvdb.PasswordKey: password,
		})
		return o
	}
}

// A user whose addition or removal was interrupted can be removed and added again.
func TestInterruptedUserChange(t *testing.T) {
	t.Parallel()
	cluster, options := withUsers(t, 1)
	n := &network{}
	root := instance(t, cluster, "users", options, n.wrap)
	for _, step := range []struct{ method, path string }{
		{http.MethodPut, "/v2/auth/users/user"}, {http.MethodPut, "/v2/auth/roles/user"},
		{http.MethodDelete, "/v2/auth/users/user"}, {http.MethodDelete, "/v2/auth/roles/user"},
	} {
		for nth := range 2 {
			seen := 0
			// The context ends at the request that is refused, because one that was sent could
			// have its effect later.
			ctx, cancel := context.WithCancel(t.Context())
			n.cut(func(r *http.Request) bool {
				if r.Method != step.method || r.URL.Path != step.path {
					return false
				}
				if seen++; seen > nth {
					cancel()
				}
				return seen > nth
			})
			err := kvdb.WithContext(ctx, root).AddUser("user", "password")
			if err == nil {
				err = kvdb.WithContext(ctx, root).RemoveUser("user")
			}
			cancel()
			n.mend()
			if step.method == http.MethodPut || nth == 0 { // each is removed once
				require.Error(t, err, "%v %d", step, nth)
			}
			if err = root.RemoveUser("user"); err != nil {
				require.ErrorIs(t, err, kvdb.ErrNotFound)
			}
			require.NoError(t, root.AddUser("user", "password"), "%v %d", step, nth)
			require.NoError(t, root.RemoveUser("user"))
		}
	}
}

// A user can do in a subtree all that was granted, until it is revoked or the user is
// removed.
func TestUsers(t *testing.T) {
	t.Parallel()
	cluster, options := withUsers(t, 1)
	root := instance(t, cluster, "users", options, nil)
	as := logins(t, cluster, options)
	_, err := New("users", cluster.Endpoints(), as("user", "password"), nil)
	require.Error(t, err, "there is no such user")
	require.True(t, root.AddUser("user", "") == kvdb.ErrNoPassword)
	require.NoError(t, root.AddUser("user", "password"))
	require.ErrorIs(t, root.AddUser("user", "another"), kvdb.ErrExist)
	for _, key := range []string{"dir/key", "other/key"} {
		_, err := root.Put(key, "value", 0)
		require.NoError(t, err)
	}
	kv := instance(t, cluster, "users", as("user", "password"), nil)
	may := func(reads, writes bool) {
		t.Helper()
		_, err := kv.Get("dir/key")
		require.Equal(t, reads, err == nil, "%v", err)
		_, err = kv.Put("dir/key", "value", 0)
		require.Equal(t, writes, err == nil, "%v", err)
		_, err = kv.Get("other/key")
		require.ErrorContains(t, err, "credentials")
	}
	may(false, false)
	require.True(t, root.GrantUserAccess("user", kvdb.PermissionType(17), "dir") == kvdb.ErrUnknownPermission)
	require.NoError(t, root.GrantUserAccess("user", kvdb.ReadPermission, "dir"))
	may(true, false)
	// A consistent snapshot needs a write, unless the user may not make one.
	last, err := root.Put("dir/key", "last", 0)
	require.NoError(t, err)
	snapshot, index, err := kv.Snapshot([]string{"dir/"}, true)
	require.NoError(t, err)
	require.Equal(t, last.ModifiedIndex, index)
	pair, err := snapshot.Get("dir/key")
	require.NoError(t, err)
	require.Equal(t, last.ModifiedIndex, pair.ModifiedIndex)
	later, err := root.Put("dir/key", "later", 0)
	require.NoError(t, err)
	require.Equal(t, event(kvdb.KVSet, "dir/key", later.ModifiedIndex), receive(t, watch(t, kv, "dir/", index)))
	require.NoError(t, root.GrantUserAccess("user", kvdb.ReadWritePermission, "dir/*"))
	may(true, true)

	events := watch(t, kv, "dir/", 0)
	pair, err = kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	require.Equal(t, event(kvdb.KVSet, "dir/key", pair.ModifiedIndex), receive(t, events))
	_, _, err = kv.Snapshot([]string{"dir/"}, true)
	require.NoError(t, err)
	lock, err := kv.Lock("dir/lock")
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))
	names, err := kv.Keys("dir", "")
	require.NoError(t, err)
	require.Equal(t, []string{"key"}, names)
	s, err := open("users", cluster.Endpoints(), as("user", "password"), nil)
	require.NoError(t, err)
	m := s.pool.Current()
	index, err = m.ask(t.Context(), true)
	require.NoError(t, err)
	require.GreaterOrEqual(t, index, pair.ModifiedIndex, "the index of a member")
	require.NoError(t, s.Close(t.Context()))
	_, err = kv.Put("dirt", "value", 0)
	require.Error(t, err, "a name that begins like the subtree's")
	_, err = kv.Lock("lock")
	require.Error(t, err, "the lock of a key outside of the subtree")
	require.Error(t, kv.DeleteTree(""))
	require.NoError(t, kv.DeleteTree("dir"))
	_, err = root.Put("dir/key", "value", 0)
	require.NoError(t, err)

	require.NoError(t, root.RevokeUsersAccess("user", kvdb.WritePermission, "dir"))
	may(true, false)
	require.NoError(t, root.RevokeUsersAccess("user", kvdb.ReadWritePermission, "dir"))
	may(false, false)
	pair, err = root.Get("dir/key")
	require.NoError(t, err)
	security.Denied(t, kv, "dir", pair, true)
	require.ErrorIs(t, kv.AddUser("other", "password"), kvdb.ErrPermission)
	_, err = New("users", cluster.Endpoints(), as("user", "wrong"), nil)
	require.ErrorContains(t, err, `"user"`)
	require.ErrorIs(t, err, kvdb.ErrLogin)
	require.NotErrorIs(t, err, kvdb.ErrPermission)
	require.NotErrorIs(t, err, kvdb.ErrNoConnection)
	require.NoError(t, root.RemoveUser("user"))
	_, err = New("users", cluster.Endpoints(), as("user", "password"), nil)
	require.ErrorIs(t, err, kvdb.ErrLogin)
	require.ErrorIs(t, root.RemoveUser("user"), kvdb.ErrNotFound)
}

// An instance with a user continues to work when authentication is turned on.
func TestUsersTurnedOn(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{})
	options := map[string]string{kvdb.UsernameKey: "user", kvdb.PasswordKey: "password"}
	kv := instance(t, cluster, "on", options, nil)
	require.NoError(t, kv.AddUser("user", "password"))
	require.NoError(t, kv.GrantUserAccess("user", kvdb.ReadWritePermission, "dir"))
	_, err := kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	before := watch(t, kv, "dir/", 0)
	lock, err := kv.Lock("dir/lock")
	require.NoError(t, err)

	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(client.Config{Endpoints: cluster.Endpoints(), Transport: transport})
	require.NoError(t, err)
	require.NoError(t, client.NewAuthUserAPI(c).AddUser(t.Context(), "root", "secret"))
	require.NoError(t, client.NewAuthAPI(c).Enable(t.Context()))

	after := watch(t, kv, "dir/", 0)
	pair, err := kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	for _, events := range []<-chan watchCall{before, after} {
		require.Equal(t, event(kvdb.KVSet, "dir/key", pair.ModifiedIndex), receive(t, events))
	}
	require.NoError(t, kv.Unlock(lock))
	lock, err = kv.Lock("dir/lock")
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))
	require.Error(t, kv.AddUser("another", "password"), "permissions are checked")
}
