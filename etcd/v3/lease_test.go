package etcdv3

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// No lease is left behind, neither by locks nor by writes that failed or whose key
// was overwritten.
func TestLeases(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	require.Zero(t, leases(t, client))
	kv, err := New("leases", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	for range 1000 {
		pair, err := kv.Lock("lock")
		require.NoError(t, err)
		require.NoError(t, kv.Unlock(pair))
	}
	require.Equal(t, 1, leases(t, client), "after 1000 locks")
	for range 20 {
		_, err := kv.Create("key", "value", 0)
		if err != nil {
			require.Equal(t, kvdb.ErrExist, err)
		}
		_, err = kv.Create("key", "value", 1000)
		require.Equal(t, kvdb.ErrExist, err)
		_, err = kv.Update("none", "value", 1000)
		require.Equal(t, kvdb.ErrNotFound, err)
		tx, err := kv.TxNew()
		require.NoError(t, err)
		_, err = tx.Get("key")
		require.NoError(t, err)
		_, err = tx.Put("other", "value", 1000)
		require.NoError(t, err)
		_, err = kv.Put("key", "changed", 0)
		require.NoError(t, err)
		require.Equal(t, kvdb.ErrModified, tx.Commit())
		_, _, err = kv.Snapshot(nil, true)
		require.NoError(t, err)
	}
	eventually(t, "leases of writes that failed, or of snapshots, stay", func() bool { return leases(t, client) == 1 })
	for range 1000 {
		_, err := kv.Put("key", "value", 1000)
		require.NoError(t, err)
	}
	_, err = kv.Put("key", "for ever", 0)
	require.NoError(t, err)
	large := strings.Repeat("v", 2*smallValue)
	for range 20 {
		pair, err := kv.Create("short", large, 1000)
		require.NoError(t, err)
		_, err = kv.CompareAndSet(&kvdb.KVPair{Key: "short", Value: []byte(large), ModifiedIndex: pair.ModifiedIndex, TTL: 1000},
			kvdb.KVModifiedIndex|kvdb.KVTTL, nil)
		require.NoError(t, err)
		_, err = kv.Update("short", "small", 1000)
		require.NoError(t, err)
		_, err = kv.Delete("short")
		require.NoError(t, err)
	}
	eventually(t, "leases of overwritten keys stay", func() bool { return leases(t, client) == 1 })
	pair, err := kv.Get("key")
	require.NoError(t, err)
	require.Equal(t, "for ever", string(pair.Value))
	_, err = kv.Lock("lock")
	require.NoError(t, err)
	require.NoError(t, kvdb.Close(kv))
	require.Zero(t, leases(t, client), "after Close")
}

// A write that has succeeded leaves no lease behind when the reply to its grant was
// lost.
func TestLeaseWhoseAnswerIsLost(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	for i, code := range []codes.Code{codes.Unavailable, codes.Canceled} {
		kv := instance(t, cluster, "d", nil, losing("LeaseGrant", code))
		_, err := kv.Put(code.String(), "value", 1000)
		require.NoError(t, err)
		eventually(t, "the lease of the first request stays", func() bool { return leases(t, client) == i+1 })
	}
}

// taken grants the first lease to another client, with a key, and loses the reply.
// While failing, it does the same with the next ones.
type taken struct {
	pb.LeaseClient
	client  *clientv3.Client
	failing bool
	asked   atomic.Int64
	ended   chan struct{} // has an element for each read or revocation of a lease
}

func (l *taken) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest, opts ...grpc.CallOption) (*pb.LeaseGrantResponse, error) {
	if l.asked.CompareAndSwap(0, r.ID) {
		_, err := l.LeaseClient.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: r.ID, TTL: 1000})
		if err == nil {
			_, err = l.client.Put(ctx, "theirs", "value", clientv3.WithLease(clientv3.LeaseID(r.ID)))
		}
		if err != nil {
			return nil, err
		}
	} else if !l.failing {
		return l.LeaseClient.LeaseGrant(ctx, r, opts...)
	}
	return nil, status.Error(codes.Unavailable, "there is no answer")
}

func (l *taken) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest, opts ...grpc.CallOption) (*pb.LeaseTimeToLiveResponse, error) {
	defer func() { l.ended <- struct{}{} }()
	return l.LeaseClient.LeaseTimeToLive(ctx, r, opts...)
}

func (l *taken) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest, opts ...grpc.CallOption) (*pb.LeaseRevokeResponse, error) {
	defer func() { l.ended <- struct{}{} }()
	return l.LeaseClient.LeaseRevoke(ctx, r, opts...)
}

// A lease whose grant got no reply may belong to another client that chose the same
// ID. Its keys stay, and no key of ours is put under it.
func TestLeaseOfTheSameID(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	for _, failing := range []bool{true, false} {
		s, err := open("", cluster.Endpoints(), nil)
		require.NoError(t, err)
		l := &taken{LeaseClient: s.lease, client: client, failing: failing, ended: make(chan struct{}, 100)}
		s.lease = l
		ctx, cancel := contextWithTimeout(t, 10*time.Second)
		if failing {
			ctx, cancel = contextWithTimeout(t, time.Second)
		}
		_, err = s.Put(ctx, driver.Write{Key: "ours", TTL: time.Minute})
		require.Equal(t, failing, err != nil)
		cancel()
		receive(t, l.ended, "the read of the lease")
		require.NoError(t, s.Close(t.Context()))
		reply, err := client.Get(t.Context(), "theirs")
		require.NoError(t, err)
		require.Len(t, reply.Kvs, 1, "somebody else's key")
		reply, err = client.Get(t.Context(), "ours")
		require.NoError(t, err)
		for _, kv := range reply.Kvs {
			require.NotEqual(t, l.asked.Load(), kv.Lease)
		}
	}
}

// Writes with a TTL return in time during an outage, and leave nothing behind for
// long.
func TestLeasesDuringOutage(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	kv := instance(t, cluster, "d", nil)
	require.NoError(t, cluster.All()[0].Clients().Cut())
	before := runtime.NumGoroutine()
	const writes, limit = 200, 500 * time.Millisecond
	began, done := time.Now(), make(chan error, writes)
	for range writes {
		go func() {
			ctx, cancel := contextWithTimeout(t, limit)
			defer cancel()
			_, err := kvdb.WithContext(ctx, kv).Put("key", "value", 60)
			done <- err
		}()
	}
	for range writes {
		require.Error(t, receive(t, done, "the end of a write"))
	}
	require.Less(t, time.Since(began), limit+revokeTimeout*3/4)
	eventually(t, "goroutines are left", func() bool { return runtime.NumGoroutine() < before+writes/10 })
	require.NoError(t, cluster.All()[0].Clients().Heal())
}

// slow lets leases expire before the first request that writes under them arrives.
type slow struct {
	pb.KVClient
	leases pb.LeaseClient
	first  atomic.Bool
}

func (l *slow) expire(ctx context.Context, lease int64) {
	if lease != 0 && l.first.CompareAndSwap(false, true) {
		_, _ = l.leases.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: lease})
	}
}

func (l *slow) Put(ctx context.Context, r *pb.PutRequest, opts ...grpc.CallOption) (*pb.PutResponse, error) {
	l.expire(ctx, r.Lease)
	return l.KVClient.Put(ctx, r, opts...)
}

func (l *slow) Txn(ctx context.Context, r *pb.TxnRequest, opts ...grpc.CallOption) (*pb.TxnResponse, error) {
	for _, op := range r.Success {
		l.expire(ctx, op.GetRequestPut().GetLease())
	}
	return l.KVClient.Txn(ctx, r, opts...)
}

// A write that takes longer than its TTL is repeated with another lease.
func TestLeaseExpiresBeforeItsWrite(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	s, err := open("", cluster.Endpoints(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	kv := s.kv
	for name, write := range map[string]func(driver.Write) error{
		"put":    func(w driver.Write) error { _, err := s.Put(t.Context(), w); return err },
		"create": func(w driver.Write) error { w.Cond.Absent = true; _, err := s.Put(t.Context(), w); return err },
		"commit": func(w driver.Write) error {
			return s.Commit(t.Context(), nil, []driver.Write{w, {Key: w.Key + "/other", TTL: 2 * w.TTL}}, nil)
		},
	} {
		s.kv = &slow{KVClient: kv, leases: s.lease}
		require.NoError(t, write(driver.Write{Key: name, TTL: 1000 * time.Second}), name)
		reply, err := client.Get(t.Context(), name)
		require.NoError(t, err)
		require.Len(t, reply.Kvs, 1, name)
		ttl, err := client.TimeToLive(t.Context(), clientv3.LeaseID(reply.Kvs[0].Lease))
		require.NoError(t, err)
		require.EqualValues(t, 1000, ttl.GrantedTTL)
	}
	eventually(t, "an unused lease stays", func() bool { return leases(t, client) == 4 })
}

// unaware replies as a leader that was suspended: it reports no keys under a lease.
type unaware struct{ pb.LeaseClient }

func (unaware) LeaseTimeToLive(_ context.Context, r *pb.LeaseTimeToLiveRequest, _ ...grpc.CallOption) (*pb.LeaseTimeToLiveResponse, error) {
	return &pb.LeaseTimeToLiveResponse{ID: r.ID, TTL: 1000, GrantedTTL: 1000}, nil
}

// The lease of a key that is overwritten stays while another key is under it, whether
// the same transaction or another program wrote that key.
func TestLeaseOfSeveralKeys(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	s, err := open("", cluster.Endpoints(), nil)
	require.NoError(t, err)
	s.lease = unaware{s.lease}

	const ttl = 1000 * time.Second
	require.NoError(t, s.Commit(t.Context(), nil, []driver.Write{
		{Key: "a", TTL: ttl}, {Key: "b", TTL: ttl}, {Key: "c", TTL: ttl}, {Key: "alone", TTL: 2 * ttl}, {Key: "kept"},
	}, nil))
	require.Equal(t, 2, leases(t, client))
	granted, err := client.Grant(t.Context(), 1000)
	require.NoError(t, err)
	_, err = client.Put(t.Context(), "other", "value", clientv3.WithLease(granted.ID))
	require.NoError(t, err)
	for _, key := range []string{"a", "other", "alone"} {
		_, err = s.Put(t.Context(), driver.Write{Key: key})
		require.NoError(t, err)
	}
	_, err = s.Delete(t.Context(), "b", driver.Cond{})
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context())) // returns when all leases are revoked
	reply, err := client.Get(t.Context(), "", clientv3.WithPrefix())
	require.NoError(t, err)
	keys := []string{}
	for _, kv := range reply.Kvs {
		keys = append(keys, string(kv.Key))
	}
	require.Equal(t, []string{"a", "alone", "c", "kept", "other"}, keys)
	require.Equal(t, 2, leases(t, client), "the lease of a, b and c, and that of another program")
	kept, err := client.TimeToLive(t.Context(), granted.ID)
	require.NoError(t, err)
	require.Positive(t, kept.TTL, "the lease of another program")
}

// gated holds requests to revoke leases until gate is closed.
type gated struct {
	pb.LeaseClient
	gate chan struct{}
}

func (l gated) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest, opts ...grpc.CallOption) (*pb.LeaseRevokeResponse, error) {
	<-l.gate
	return l.LeaseClient.LeaseRevoke(context.WithoutCancel(ctx), r, opts...)
}

// No lease is left behind when there are more writers than leases that can be revoked
// at a time.
func TestLeasesOfManyWriters(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	s, err := open("", cluster.Endpoints(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	s.revoking = make(chan struct{}, 2)
	l := gated{s.lease, make(chan struct{})}
	s.lease = l
	openGate := sync.OnceFunc(func() { close(l.gate) })
	defer openGate()
	const writers = 5
	key := func(i int) string { return fmt.Sprint("key", i) }
	for i := range writers {
		_, err := s.Put(t.Context(), driver.Write{Key: key(i), TTL: 1000 * time.Second})
		require.NoError(t, err)
	}
	done := make(chan error, writers)
	for i := range writers {
		go func() {
			_, err := s.Put(t.Context(), driver.Write{Key: key(i)})
			done <- err
		}()
	}
	eventually(t, "not all keys are overwritten", func() bool {
		reply, err := client.Get(t.Context(), "key", clientv3.WithPrefix())
		require.NoError(t, err)
		return !slices.ContainsFunc(reply.Kvs, func(kv *mvccpb.KeyValue) bool { return kv.Lease != 0 })
	})
	openGate()
	for range writers {
		require.NoError(t, receive(t, done, "the end of a write"))
	}
	eventually(t, "leases of overwritten keys stay", func() bool { return leases(t, client) == 0 })
}

// A server with a long election timeout grants no short leases. Locks and markers may
// have a longer lease, because it is revoked when they are released.
func TestLongLeases(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--election-timeout=12000"}}) // 18 s
	client := raw(t, cluster)
	kv := instance(t, cluster, "d", nil)
	_, err := kv.Put("key", "value", 16)
	require.Equal(t, kvdb.ErrTTLNotSupported, err)
	_, _, err = kv.Snapshot(nil, true)
	require.NoError(t, err)
	pair, err := kv.Lock("key")
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(pair))
	eventually(t, "a lease other than that of the locks stays", func() bool { return leases(t, client) == 1 })
}
