package etcdv3

import (
	"context"
	"path"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// beforeAsking returns an option that calls f once with the lease that is asked for, before the
// next request about a lease after the flag was set.
func beforeAsking(set *atomic.Bool, f func(lease int64)) dialOption {
	return grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if path.Base(method) == "LeaseTimeToLive" && set.CompareAndSwap(true, false) {
			f(req.(*pb.LeaseTimeToLiveRequest).ID)
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	})
}

// A lease may end between the read of its key and the request about it. TTLOf then returns the
// state after that, and a list or a snapshot, which shows the state before, a TTL of 1.
func TestLeaseEndsWhileItIsAskedFor(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	var set atomic.Bool
	change := func(lease int64) {}
	kv := instance(t, cluster, "d", nil, beforeAsking(&set, func(lease int64) { change(lease) }))
	write := func() {
		t.Helper()
		_, err := kv.Put("key", "value", 1000)
		require.NoError(t, err)
		set.Store(true)
	}
	revoke := func(lease int64) {
		_, err := client.Revoke(t.Context(), clientv3.LeaseID(lease))
		require.NoError(t, err)
	}
	overwrite := func(lease int64) {
		_, err := client.Put(t.Context(), "d/key", "later")
		require.NoError(t, err)
		revoke(lease)
	}

	change = revoke
	write()
	_, _, err := kvdb.TTLOf(kv, "key")
	require.Equal(t, kvdb.ErrNotFound, err)

	change = overwrite
	write()
	remaining, has, err := kvdb.TTLOf(kv, "key")
	require.NoError(t, err)
	require.False(t, has)
	require.Zero(t, remaining)

	write()
	serialized, err := kv.Serialize()
	require.NoError(t, err)
	pairs, err := kv.Deserialize(serialized)
	require.NoError(t, err)
	require.Equal(t, "value", string(pairs[0].Value))
	require.EqualValues(t, 1, pairs[0].TTL)

	write()
	snapshot, _, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	pair, err := snapshot.Get("key")
	require.NoError(t, err)
	require.Equal(t, "value", string(pair.Value))
	require.EqualValues(t, 1, pair.TTL)
	require.False(t, set.Load(), "the lease was asked for")
}

// A failed request about a lease is the error of the call, because a pair without its TTL would
// be one that does not expire.
func TestLeaseCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	var set atomic.Bool
	end := func() {}
	kv := instance(t, cluster, "d", nil, beforeAsking(&set, func(int64) { end() }))
	for _, key := range []string{"a", "b", "c"} {
		_, err := kv.Put(key, "value", 1000)
		require.NoError(t, err)
	}
	for _, call := range []func(kv kvdb.Kvdb) error{
		func(kv kvdb.Kvdb) error { _, _, err := kvdb.TTLOf(kv, "a"); return err },
		func(kv kvdb.Kvdb) error { _, err := kv.Serialize(); return err },
		func(kv kvdb.Kvdb) error { _, _, err := kv.Snapshot(nil, true); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		end = cancel
		set.Store(true)
		require.ErrorIs(t, call(kvdb.WithContext(ctx, kv)), context.Canceled)
		require.False(t, set.Load())
		cancel()
	}
}

// A user who may only read a key may read its TTL.
func TestTTLWithReadPermission(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4"}})
	admin := instance(t, cluster, "d", withUsers(t, cluster))
	_, err := admin.Put("dir/key", "value", 1000)
	require.NoError(t, err)
	require.NoError(t, admin.AddUser("reader", "secret"))
	require.NoError(t, admin.GrantUserAccess("reader", kvdb.ReadPermission, "dir/"))
	kv := instance(t, cluster, "d", as("reader", "secret"))
	remaining, has, err := kvdb.TTLOf(kv, "dir/key")
	require.NoError(t, err)
	require.True(t, has)
	require.Greater(t, remaining, 900*time.Second)
	snapshot, _, err := kv.Snapshot([]string{"dir/"}, true)
	require.NoError(t, err)
	pair, err := snapshot.Get("dir/key")
	require.NoError(t, err)
	require.Greater(t, pair.TTL, int64(900))
}
