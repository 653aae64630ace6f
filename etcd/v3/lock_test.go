package etcdv3

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A lock is held for longer than the TTL of its lease, because the lease is kept
// alive.
func TestLockIsKept(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "d", nil)
	pair, err := kv.Lock("key")
	require.NoError(t, err)
	before, err := client.Leases(t.Context())
	require.NoError(t, err)
	require.Len(t, before.Leases, 1)
	select {
	case <-lostOf(t, pair):
		require.Fail(t, "the lock is lost")
	case <-time.After(sessionTimes.TTL + 4*time.Second):
	}
	after, err := client.Leases(t.Context())
	require.NoError(t, err)
	require.Equal(t, before.Leases, after.Leases)
	locked, _, err := kv.IsKeyLocked("key")
	require.NoError(t, err)
	require.True(t, locked)
	require.NoError(t, kv.Unlock(pair))
}

// A lock whose Unlock failed in an outage is free soon after the outage.
func TestUnlockDuringOutage(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	kv := instance(t, cluster, "d", nil)
	pair, err := kv.Lock("key")
	require.NoError(t, err)
	member := cluster.All()[0]
	require.NoError(t, member.Clients().Cut())
	ctx, cancel := contextWithTimeout(t, time.Second)
	defer cancel()
	require.Error(t, kvdb.WithContext(ctx, kv).Unlock(pair))
	require.NoError(t, member.Clients().Heal())
	other := instance(t, cluster, "d", nil)
	began := time.Now()
	next, err := other.LockWithTimeout("key", "next", patience, 0)
	require.NoError(t, err)
	require.Less(t, time.Since(began), 8*time.Second, "the lock was free only when its lease ended")
	require.NoError(t, kv.Unlock(pair), "the second Unlock")
	require.NoError(t, other.Unlock(next))
}

// An attempt to lock whose reply was lost leaves no stray lock behind.
func TestLockAttemptGivenUp(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	kv := instance(t, cluster, "d", nil)
	first, err := kv.Lock("first") // makes a lease and a connection
	require.NoError(t, err)
	member := cluster.All()[0]
	require.NoError(t, member.Clients().Blackhole())
	ctx, cancel := contextWithTimeout(t, time.Second)
	defer cancel()
	_, err = kvdb.WithContext(ctx, kv).LockWithTimeout("key", "given up", patience, 0)
	require.Error(t, err)
	require.NoError(t, member.Clients().Heal()) // now the request arrives
	other := instance(t, cluster, "d", nil)
	next, err := other.LockWithTimeout("key", "next", patience, 0)
	require.NoError(t, err)
	require.NoError(t, other.Unlock(next))
	next, err = kv.LockWithTimeout("key", "again", patience, 0)
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(next))
	require.NoError(t, kv.Unlock(first))
}

// late delays the first transaction until release is closed. Its caller gets an
// error at once.
type late struct {
	kept             atomic.Bool
	release, arrived chan struct{}
	looks            chan struct{} // has an element for each read
}

func (l *late) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	const read = "/etcdserverpb.KV/Range"
	if method == read {
		defer func() { l.looks <- struct{}{} }()
	}
	if !strings.HasSuffix(method, "/Txn") || !l.kept.CompareAndSwap(false, true) {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	late := context.WithoutCancel(ctx)
	go func() {
		defer close(l.arrived)
		<-l.release
		_ = invoke(late, method, req, &pb.TxnResponse{}, cc)
	}()
	// The client must have sent a request, so that the error counts as its answer.
	if err := invoke(ctx, read, &pb.RangeRequest{Key: []byte("key")}, &pb.RangeResponse{}, cc, opts...); err != nil {
		return err
	}
	return status.Error(codes.Unavailable, "the connection is lost")
}

// The first request of an attempt to lock arrives after the second one has obtained
// the lock. The lock stays until its release, and no stray lock is left.
func TestLockRequestArrivesLate(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	l := &late{release: make(chan struct{}), arrived: make(chan struct{}), looks: make(chan struct{}, 1000)}
	s, err := open("d", cluster.Endpoints(), nil, grpc.WithChainUnaryInterceptor(l.intercept))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	receive(t, l.looks, "the read of open")
	lock, err := s.Lock(t.Context(), "d/key", "me", time.Second)
	require.NoError(t, err)
	for range 3 {
		receive(t, l.looks, "a search for stray locks")
	}
	require.NoError(t, lock.Release(t.Context()), "the lock was lost")
	close(l.release)
	receive(t, l.arrived, "the first request")
	other := instance(t, cluster, "d", nil)
	began := time.Now()
	pair, err := other.LockWithTimeout("key", "other", patience, 0)
	require.NoError(t, err)
	require.Less(t, time.Since(began), 8*time.Second, "the stray lock was kept alive")
	require.NoError(t, other.Unlock(pair))
}
