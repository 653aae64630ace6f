package etcdv3

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

func lostOf(t *testing.T, pair *kvdb.KVPair) <-chan struct{} {
	t.Helper()
	held, ok := pair.Lock.(kvdb.HeldLock)
	require.True(t, ok)
	return held.Lost()
}

// Earlier releases hold a lock as a key of this name, with this value, under a
// lease of their own.
const (
	legacyLockKey   = "some/domain/some/domain/dir/key"
	legacyLockValue = `{"LockerID":"same"}`
)

// legacyLock tries to lock as earlier releases do.
func legacyLock(t *testing.T, client *clientv3.Client) (lease clientv3.LeaseID, obtained bool) {
	t.Helper()
	grant, err := client.Grant(t.Context(), 16)
	require.NoError(t, err)
	reply, err := client.Txn(t.Context()).
		If(clientv3.Compare(clientv3.CreateRevision(legacyLockKey), "=", 0)).
		Then(clientv3.OpPut(legacyLockKey, legacyLockValue, clientv3.WithLease(grant.ID))).
		Commit()
	require.NoError(t, err)
	return grant.ID, reply.Succeeded
}

// legacyUnlock unlocks as earlier releases do, and reports whether that removed
// the key.
func legacyUnlock(t *testing.T, client *clientv3.Client) bool {
	t.Helper()
	reply, err := client.Txn(t.Context()).
		If(clientv3.Compare(clientv3.Value(legacyLockKey), "=", legacyLockValue)).
		Then(clientv3.OpDelete(legacyLockKey)).
		Commit()
	require.NoError(t, err)
	return reply.Succeeded
}

func TestLockExcludesEarlierReleases(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "some/domain", nil)

	pair, err := kv.LockWithID("dir/key", "same")
	require.NoError(t, err)
	_, obtained := legacyLock(t, client)
	require.False(t, obtained, "ours is held")
	reply, err := client.Get(t.Context(), legacyLockKey)
	require.NoError(t, err)
	require.Len(t, reply.Kvs, 1)
	var info struct{ LockerID string } // what earlier releases read
	require.NoError(t, json.Unmarshal(reply.Kvs[0].Value, &info))
	require.Equal(t, "same", info.LockerID)
	require.Equal(t, pair.ModifiedIndex, uint64(reply.Kvs[0].CreateRevision))
	ttl, err := client.TimeToLive(t.Context(), clientv3.LeaseID(reply.Kvs[0].Lease))
	require.NoError(t, err)
	require.EqualValues(t, 16, ttl.GrantedTTL)
	require.NoError(t, kv.Unlock(pair))

	_, obtained = legacyLock(t, client)
	require.True(t, obtained, "ours is released")
	locked, owner, err := kv.IsKeyLocked("dir/key")
	require.NoError(t, err)
	require.True(t, locked)
	require.Equal(t, "same", owner)
	_, err = kv.LockWithTimeout("dir/key", "ours", 50*time.Millisecond, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.ErrorContains(t, err, "same")

	next := make(chan *kvdb.KVPair, 1)
	go func() {
		pair, _ := kv.LockWithTimeout("dir/key", "same", patience, 0)
		next <- pair
	}()
	require.True(t, legacyUnlock(t, client))
	pair = receive(t, next, "the lock")
	require.NotNil(t, pair)
	require.NoError(t, kv.Unlock(pair))
}

// A holder of an earlier release that was frozen unlocks late, by the value that
// it wrote: our lock for the same owner stays.
func TestLateUnlockOfAnEarlierRelease(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "some/domain", nil)
	lease, obtained := legacyLock(t, client)
	require.True(t, obtained)
	_, err := client.Revoke(t.Context(), lease) // as if it had expired
	require.NoError(t, err)
	pair, err := kv.LockWithID("dir/key", "same")
	require.NoError(t, err)
	require.False(t, legacyUnlock(t, client))
	reply, err := client.Get(t.Context(), legacyLockKey)
	require.NoError(t, err)
	require.Len(t, reply.Kvs, 1)
	require.Equal(t, pair.ModifiedIndex, uint64(reply.Kvs[0].ModRevision))
	require.NoError(t, kv.Unlock(pair))

	// Two of our locks for one owner differ, too.
	pair, err = kv.LockWithID("dir/key", "same")
	require.NoError(t, err)
	again, err := client.Get(t.Context(), legacyLockKey)
	require.NoError(t, err)
	require.NotEqual(t, string(reply.Kvs[0].Value), string(again.Kvs[0].Value))
	require.NoError(t, kv.Unlock(pair))
}

// Something else where the lock would be is not touched.
func TestNoLock(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "d", nil)
	for _, value := range []string{"", "junk", "{}", `{"Other":"x"}`, `"LockerID"`, "[]", "null"} {
		_, err := client.Put(t.Context(), "d/d/key", value)
		require.NoError(t, err)
		_, err = kv.Lock("key")
		require.Equal(t, kvdb.ErrInvalidLock, err, value)
		_, _, err = kv.IsKeyLocked("key")
		require.Equal(t, kvdb.ErrInvalidLock, err, value)
		reply, err := client.Get(t.Context(), "d/d/key")
		require.NoError(t, err)
		require.Equal(t, value, string(reply.Kvs[0].Value))
	}
}

// A holder hears of it when somebody removes or overwrites its lock, and then
// leaves alone what is there.
func TestLockRemovedByForce(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "d", nil)
	removed, err := kv.Lock("removed")
	require.NoError(t, err)
	overwritten, err := kv.Lock("overwritten")
	require.NoError(t, err)
	kept, err := kv.Lock("kept")
	require.NoError(t, err)
	_, err = client.Delete(t.Context(), "d/d/removed")
	require.NoError(t, err)
	_, err = client.Put(t.Context(), "d/d/overwritten", `{"LockerID":"thief"}`)
	require.NoError(t, err)
	receive(t, lostOf(t, removed), "the news that the lock is removed")
	receive(t, lostOf(t, overwritten), "the news that the lock is overwritten")
	require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(removed))
	require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(overwritten))
	_, owner, err := kv.IsKeyLocked("overwritten")
	require.NoError(t, err)
	require.Equal(t, "thief", owner)

	// Before the holder could hear of it, too.
	young, err := kv.Lock("young")
	require.NoError(t, err)
	_, err = client.Delete(t.Context(), "d/d/young")
	require.NoError(t, err)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	_, err = tx.Put("key", "value", 0)
	require.NoError(t, err)
	require.NoError(t, kvdb.TxGuard(tx, young))
	require.Equal(t, kvdb.ErrInvalidLock, tx.Commit())
	require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(young))

	select {
	case <-lostOf(t, kept):
		require.Fail(t, "the loss of one lock is not that of another")
	default:
	}
	require.NoError(t, kv.Unlock(kept))
}

// The holder hears of it also when history is cut before its watch begins.
func TestLockRemovedByForceAfterCompaction(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "d", nil)
	first, err := kv.Lock("first")
	require.NoError(t, err)
	second, err := kv.Lock("second")
	require.NoError(t, err)
	_, err = client.Put(t.Context(), "other", "v")
	require.NoError(t, err)
	reply, err := client.Put(t.Context(), "other", "v")
	require.NoError(t, err)
	_, err = client.Compact(t.Context(), reply.Header.Revision)
	require.NoError(t, err)
	for key, lock := range map[string]*kvdb.KVPair{"first": first, "second": second} {
		_, err = client.Delete(t.Context(), "d/d/"+key)
		require.NoError(t, err)
		receive(t, lostOf(t, lock), "the news that the lock is removed")
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(lock))
	}
}

// A lock is kept for longer than its lease would last, by one lease that is
// refreshed, whether or not somebody looks at it.
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
	case <-time.After(sessionTTL + 4*time.Second):
	}
	after, err := client.Leases(t.Context())
	require.NoError(t, err)
	require.Equal(t, before.Leases, after.Leases)
	locked, _, err := kv.IsKeyLocked("key")
	require.NoError(t, err)
	require.True(t, locked)
	require.NoError(t, kv.Unlock(pair))
}

// The end of the lease is the end of its locks, and not of locking.
func TestLeaseLost(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	client := raw(t, cluster)
	kv := instance(t, cluster, "d", nil)
	var pairs []*kvdb.KVPair
	for _, key := range []string{"a", "b", "c"} {
		pair, err := kv.Lock(key)
		require.NoError(t, err)
		pairs = append(pairs, pair)
	}
	reply, err := client.Leases(t.Context())
	require.NoError(t, err)
	require.Len(t, reply.Leases, 1)
	_, err = client.Revoke(t.Context(), reply.Leases[0].ID)
	require.NoError(t, err)
	again, err := kv.LockWithTimeout("a", "again", patience, 0)
	require.NoError(t, err)
	for _, pair := range pairs {
		receive(t, lostOf(t, pair), "the news that the lease is gone")
		require.Equal(t, kvdb.ErrInvalidLock, kv.Unlock(pair))
	}
	require.NoError(t, kv.Unlock(again))
}

// A lock whose Unlock met an outage is free soon after it.
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
	require.Less(t, time.Since(began), 8*time.Second, "that was not the end of the lease")
	require.NoError(t, kv.Unlock(pair), "it is released")
	require.NoError(t, other.Unlock(next))
}

// An attempt to lock whose answer was lost leaves no lock behind that nobody
// holds.
func TestLockAttemptGivenUp(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	kv := instance(t, cluster, "d", nil)
	first, err := kv.Lock("first") // there is a lease, and a connection
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

// late keeps the first transaction back, which seems to be lost, until it is
// released.
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
	// Something is sent, at least.
	if err := invoke(ctx, read, &pb.RangeRequest{Key: []byte("key")}, &pb.RangeResponse{}, cc, opts...); err != nil {
		return err
	}
	return status.Error(codes.Unavailable, "the connection is lost")
}

// The first request of an attempt to lock arrives when the second one has obtained
// the lock. That is kept as long as it is held, and leaves none that nobody holds.
func TestLockRequestArrivesLate(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	l := &late{release: make(chan struct{}), arrived: make(chan struct{}), looks: make(chan struct{}, 1000)}
	s, err := open("d", cluster.Endpoints(), nil, grpc.WithChainUnaryInterceptor(l.intercept))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	receive(t, l.looks, "the one of open")
	lock, err := s.Lock(t.Context(), "d/key", "me", time.Second)
	require.NoError(t, err)
	for range 3 {
		receive(t, l.looks, "a look for a lock that nobody holds")
	}
	require.NoError(t, lock.Release(t.Context()), "it was held until now")
	close(l.release)
	receive(t, l.arrived, "the first request")
	other := instance(t, cluster, "d", nil)
	began := time.Now()
	pair, err := other.LockWithTimeout("key", "other", patience, 0)
	require.NoError(t, err)
	require.Less(t, time.Since(began), 8*time.Second, "it was not kept alive")
	require.NoError(t, other.Unlock(pair))
}

// Locks of the domain are no pairs of it, whatever they are asked for by.
func TestLocksAreNoPairs(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	kv, peer := instance(t, cluster, "a/b", nil), instance(t, cluster, "a/b", nil)
	outer := instance(t, cluster, "a", nil)
	before, err := kv.Lock("before")
	require.NoError(t, err)
	all, keys := events(t, kv, "", 0), events(t, peer, "a/b/", 0)
	data, err := kv.Put("a/b/data", `{"LockerID":"no lock, for it has no lease"}`, 0)
	require.NoError(t, err)
	for _, c := range []<-chan *kvdb.KVPair{all, keys} {
		require.Equal(t, data.ModifiedIndex, receive(t, c, "the pair").ModifiedIndex)
	}
	during, err := kv.Lock("during")
	require.NoError(t, err)
	for _, list := range []func() ([]string, error){
		func() ([]string, error) { return kv.Keys("a/b", "") },
		func() ([]string, error) {
			pairs, err := kv.Enumerate("a/")
			for i := range pairs {
				pairs[i].Key = pairs[i].Key[len("a/b/"):]
			}
			return keysOf(pairs), err
		},
		func() ([]string, error) {
			snapshot, _, err := kv.Snapshot([]string{"a/b/"}, true)
			require.NoError(t, err)
			return snapshot.Keys("a/b", "")
		},
	} {
		keys, err := list()
		require.NoError(t, err)
		require.Equal(t, []string{"data"}, keys)
	}
	require.NoError(t, kv.DeleteTree("a"))
	require.NoError(t, kv.Unlock(before))
	require.NoError(t, kv.Unlock(during))
	for _, c := range []<-chan *kvdb.KVPair{all, keys} {
		deleted := receive(t, c, "the delete")
		require.Equal(t, kvdb.KVDelete, deleted.Action)
		require.Equal(t, "a/b/data", deleted.Key)
	}
	end, err := outer.Put("b/a/b/end", "", 0)
	require.NoError(t, err)
	for _, c := range []<-chan *kvdb.KVPair{all, keys} {
		require.Equal(t, end.ModifiedIndex, receive(t, c, "the end").ModifiedIndex)
	}
}

// DeleteTree removes what is beside and between locks in one step.
func TestDeleteTreeAroundLocks(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	kv := instance(t, cluster, "d", nil)
	keys := []string{"a", "d", "d/0", "d/2", "d/4", "d/6/x", "d0", "z"}
	for _, key := range keys {
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
	}
	var locks []*kvdb.KVPair
	for _, key := range []string{"1", "3", "3a", "5", "6"} {
		pair, err := kv.Lock(key)
		require.NoError(t, err)
		locks = append(locks, pair)
	}
	deletes := events(t, kv, "", locks[4].ModifiedIndex)
	require.NoError(t, kv.DeleteTree(""))
	index := uint64(0)
	for range keys {
		deleted := receive(t, deletes, "a delete")
		require.Equal(t, kvdb.KVDelete, deleted.Action)
		require.Contains(t, keys, deleted.Key)
		if index == 0 {
			index = deleted.ModifiedIndex
		}
		require.Equal(t, index, deleted.ModifiedIndex, "one step")
	}
	for _, pair := range locks {
		require.NoError(t, kv.Unlock(pair))
	}
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Empty(t, pairs)
}

// crowded has somebody write a key before each transaction of ours.
type crowded struct{ pb.KVClient }

func (l crowded) Txn(ctx context.Context, r *pb.TxnRequest, opts ...grpc.CallOption) (*pb.TxnResponse, error) {
	if _, err := l.Put(ctx, &pb.PutRequest{Key: []byte("dir/busy")}); err != nil {
		return nil, err
	}
	return l.KVClient.Txn(ctx, r, opts...)
}

// DeleteTree is made however quickly others write where it deletes, though that is
// where locks may be.
func TestDeleteTreeOfABusyDirectory(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	s, err := open("", cluster.Endpoints(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	s.kv = crowded{s.kv}
	_, err = s.Put(t.Context(), driver.Write{Key: "dir/key"})
	require.NoError(t, err)
	ctx, cancel := contextWithTimeout(t, 5*time.Second)
	defer cancel()
	require.NoError(t, s.DeletePrefix(ctx, "dir/"))
	_, err = s.Get(t.Context(), "dir/key")
	require.Equal(t, kvdb.ErrNotFound, err)
}

// Without a domain locks and pairs are in one place.
func TestLockWithoutDomain(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	kv := instance(t, cluster, "", nil)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	_, err = kv.Lock("key")
	require.Equal(t, kvdb.ErrInvalidLock, err)
	pair, err := kv.Lock("lock")
	require.NoError(t, err)
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Equal(t, []string{"key"}, keysOf(pairs))
	require.NoError(t, kv.DeleteTree(""))
	require.NoError(t, kv.Unlock(pair))
}

func keysOf(pairs kvdb.KVPairs) []string {
	keys := []string{}
	for _, pair := range pairs {
		keys = append(keys, pair.Key)
	}
	return keys
}

// To the outer one of two nested domains the locks of the inner one are keys like
// any others, because nothing tells them from data with a TTL for certain. When it
// deletes them their holders are told.
func TestLocksOfAnInnerDomain(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	outer, inner := instance(t, cluster, "a", nil), instance(t, cluster, "a/b", nil)
	pair, err := inner.LockWithID("lock", "me")
	require.NoError(t, err)
	require.NoError(t, outer.DeleteTree("c"))
	pairs, err := outer.Enumerate("")
	require.NoError(t, err)
	require.Equal(t, []string{"b/a/b/lock"}, keysOf(pairs))
	require.NoError(t, outer.DeleteTree("b"))
	receive(t, lostOf(t, pair), "the news that the lock is removed")
	require.Equal(t, kvdb.ErrInvalidLock, inner.Unlock(pair))
}
