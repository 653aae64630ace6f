package etcdv3

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/testing/security"
	"github.com/portworx/kvdb/test/servers"
)

// withUsers turns authentication on, and returns the options of a user who may do
// everything.
func withUsers(t *testing.T, cluster *servers.Cluster) map[string]string {
	t.Helper()
	client := raw(t, cluster)
	_, err := client.UserAdd(t.Context(), "root", "secret")
	require.NoError(t, err)
	_, err = client.UserGrantRole(t.Context(), "root", "root")
	require.NoError(t, err)
	_, err = client.AuthEnable(t.Context())
	require.NoError(t, err)
	return map[string]string{kvdb.UsernameKey: "root", kvdb.PasswordKey: "secret"}
}

func as(user, password string) map[string]string {
	return map[string]string{kvdb.UsernameKey: user, kvdb.PasswordKey: password}
}

func TestWrongLogin(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4"}})
	admin := withUsers(t, cluster)
	for _, err := range []error{
		fails(t, cluster.Endpoints(), as("root", "wrong"), "root", "password"),
		fails(t, cluster.Endpoints(), as("nobody", "secret"), "nobody", "password"),
		fails(t, cluster.Endpoints(), nil, "user name"),
	} {
		require.ErrorIs(t, err, kvdb.ErrLogin)
		require.NotErrorIs(t, err, kvdb.ErrNoConnection)
	}
	kv := instance(t, cluster, "d", admin)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
}

func TestDenied(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4"}})
	admin := instance(t, cluster, "d", withUsers(t, cluster))
	pair, err := admin.Put("dir/key", "value", 0)
	require.NoError(t, err)
	require.NoError(t, admin.AddUser("user", "password"))
	user := instance(t, cluster, "d", as("user", "password"))
	security.Denied(t, user, "dir", pair, true)
	require.ErrorIs(t, user.AddUser("other", "password"), kvdb.ErrPermission)
}

// The subtrees dir, dir/ and dir/* all stand for the keys below dir and their locks,
// and for nothing else.
func TestSubtrees(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4"}})
	admin := instance(t, cluster, "d", withUsers(t, cluster))
	outside := instance(t, cluster, "", as("root", "secret"))
	keys := []string{"dir", "dir/key", "dir/sub/key", "dirt", "dirt/key", "other/dir/key", "/dir/key"}
	for _, key := range keys {
		_, err := admin.Put(key, "value", 0)
		require.NoError(t, err)
		_, err = outside.Put(key, "value", 0)
		require.NoError(t, err)
	}
	for user, subtree := range map[string]string{"a": "dir", "b": "dir/", "c": "dir/*"} {
		require.NoError(t, admin.AddUser(user, "password"))
		kv := instance(t, cluster, "d", as(user, "password"))
		root := instance(t, cluster, "", as(user, "password"))
		may := func(read, write bool) {
			t.Helper()
			for _, key := range keys {
				inside := key == "dir/key" || key == "dir/sub/key"
				_, err := kv.Get(key)
				require.Equal(t, inside && read, err == nil, "get %s: %v", key, err)
				_, err = kv.Put(key, "value", 0)
				require.Equal(t, inside && write, err == nil, "put %s: %v", key, err)
				_, err = root.Get(key)
				require.ErrorIs(t, err, rpctypes.ErrPermissionDenied)
				_, _, err = kv.IsKeyLocked(key)
				require.Equal(t, inside && read, err == nil, "is %s locked: %v", key, err)
				lock, err := kv.LockWithTimeout(key, user, 0, 0)
				require.Equal(t, inside && read && write, err == nil, "lock %s: %v", key, err)
				if err == nil {
					require.NoError(t, kv.Unlock(lock))
				}
			}
			require.Equal(t, read, kv.WatchTree("dir/", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error {
				return errors.New("over")
			}) == nil)
			require.Error(t, kv.WatchTree("dir", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error { return nil }))
		}
		may(false, false)
		require.NoError(t, admin.GrantUserAccess(user, kvdb.ReadPermission, subtree))
		may(true, false)
		require.NoError(t, admin.GrantUserAccess(user, kvdb.WritePermission, "dir/*"), "beside the other")
		may(true, true)
		_, _, err := kv.Snapshot([]string{"dir/"}, true)
		require.NoError(t, err)
		require.NoError(t, admin.RevokeUsersAccess(user, kvdb.WritePermission, subtree))
		may(true, false)
		require.NoError(t, admin.RevokeUsersAccess(user, kvdb.ReadWritePermission, "dir"))
		may(false, false)
	}
	// A slash at the beginning is part of the name.
	require.NoError(t, admin.GrantUserAccess("b", kvdb.ReadPermission, "/dir"))
	slash := instance(t, cluster, "d", as("b", "password"))
	_, err := slash.Get("/dir/key")
	require.NoError(t, err)
	_, err = slash.Get("dir/key")
	require.Error(t, err)
	require.NoError(t, admin.GrantUserAccess("a", kvdb.ReadWritePermission, ""))
	kv := instance(t, cluster, "d", as("a", "password"))
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Len(t, pairs, len(keys))
	pair, err := kv.Lock("dir/key")
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(pair))
}

func TestUserErrors(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4"}})
	kv := instance(t, cluster, "d", withUsers(t, cluster))
	require.Equal(t, kvdb.ErrNoPassword, kv.AddUser("user", ""))
	require.NoError(t, kv.AddUser("user", "password"))
	require.ErrorIs(t, kv.AddUser("user", "password"), kvdb.ErrExist)
	require.NoError(t, kv.RemoveUser("user"))
	require.ErrorIs(t, kv.RemoveUser("user"), kvdb.ErrNotFound)
	require.ErrorIs(t, kv.GrantUserAccess("user", kvdb.ReadPermission, "dir"), kvdb.ErrNotFound)

	// A role that another client has created is not granted.
	client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Username: "root", Password: "secret"})
	require.NoError(t, err)
	defer client.Close()
	_, err = client.RoleAdd(t.Context(), "powerful")
	require.NoError(t, err)
	require.ErrorIs(t, kv.AddUser("powerful", "password"), kvdb.ErrExist)
	users, err := client.UserList(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"root"}, users.Users)
}

// Whichever request is refused or loses its reply, the user can be removed and added
// again.
func TestUserRequestFails(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4"}})
	for _, method := range []string{"UserAdd", "RoleAdd", "UserGrantRole", "UserGet", "RoleDelete", "UserDelete"} {
		refuse := grpc.WithChainUnaryInterceptor(func(ctx context.Context, m string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if !strings.HasSuffix(m, "/"+method) {
				return invoke(ctx, m, req, reply, cc, opts...)
			}
			const other = "/etcdserverpb.Auth/AuthStatus" // a request that the server answers
			if err := invoke(ctx, other, &pb.AuthStatusRequest{}, &pb.AuthStatusResponse{}, cc, opts...); err != nil {
				return err
			}
			return status.Error(codes.PermissionDenied, "refused")
		})
		for name, option := range map[string]dialOption{"refused": refuse, "lost": losing(method, codes.Unavailable)} {
			kv, failing := instance(t, cluster, "d", nil), instance(t, cluster, "d", nil, option)
			user := method + name
			if err := failing.AddUser(user, "password"); err == nil {
				_ = failing.RemoveUser(user)
			}
			if err := kv.RemoveUser(user); err != nil {
				require.ErrorIs(t, err, kvdb.ErrNotFound, user)
			}
			require.NoError(t, kv.AddUser(user, "password"), user)
			require.NoError(t, kv.GrantUserAccess(user, kvdb.ReadPermission, "dir"), user)
			require.NoError(t, kv.RemoveUser(user), user)
		}
	}
}

// A login that has expired is renewed, for requests and for watches.
func TestExpiredLogin(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4", "--auth-token-ttl=1"}})
	admin := withUsers(t, cluster)
	requests := &counter{}
	kv := instance(t, cluster, "d", admin, grpc.WithChainUnaryInterceptor(requests.intercept))
	first := events(t, kv, "", 0)
	requests.take()
	tick := time.NewTicker(3 * time.Second) // a login not used for so long has expired
	defer tick.Stop()
	logins := 0
	for deadline := time.Now().Add(patience); logins < 2; <-tick.C {
		require.True(t, time.Now().Before(deadline), "no login has expired")
		pair, err := kv.Put("key", "value", 0)
		require.NoError(t, err)
		require.Equal(t, pair.ModifiedIndex, receive(t, first, "the event").ModifiedIndex)
		logins += requests.take()["Authenticate"]
	}
	<-tick.C
	second := events(t, kv, "", 0)
	pair, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	require.Equal(t, pair.ModifiedIndex, receive(t, first, "the event").ModifiedIndex)
	require.Equal(t, pair.ModifiedIndex, receive(t, second, "the event").ModifiedIndex)
}

// A write is refused when users were changed before it, as often as the client
// library sends it. It has not run, so it is sent again.
func TestWriteWhileUsersChange(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4"}})
	refused := 0
	kv := instance(t, cluster, "d", withUsers(t, cluster), grpc.WithChainUnaryInterceptor(func(ctx context.Context, m string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if !strings.HasSuffix(m, "/Put") || refused == tries {
			return invoke(ctx, m, req, reply, cc, opts...)
		}
		refused++
		const other = "/etcdserverpb.Auth/AuthStatus" // a request that the server answers
		if err := invoke(ctx, other, &pb.AuthStatusRequest{}, &pb.AuthStatusResponse{}, cc, opts...); err != nil {
			return err
		}
		return rpctypes.ErrGRPCAuthOldRevision
	}))
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	require.Equal(t, tries, refused)
}
