package etcdv3

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// A value at the place of a lock is not changed.
func TestValueInPlaceOfLock(t *testing.T) {
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

// No call returns the locks of a domain as pairs.
func TestLocksAreNotPairs(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	kv, peer := instance(t, cluster, "a/b", nil), instance(t, cluster, "a/b", nil)
	outer := instance(t, cluster, "a", nil)
	before, err := kv.Lock("before")
	require.NoError(t, err)
	all, keys := events(t, kv, "", 0), events(t, peer, "a/b/", 0)
	data, err := kv.Put("a/b/data", `{"LockerID":"not a lock, because it has no lease"}`, 0)
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

// DeleteTree removes the keys before, between and after locks in one step.
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

// crowded writes a key before each transaction.
type crowded struct{ pb.KVClient }

func (l crowded) Txn(ctx context.Context, r *pb.TxnRequest, opts ...grpc.CallOption) (*pb.TxnResponse, error) {
	if _, err := l.Put(ctx, &pb.PutRequest{Key: []byte("dir/busy")}); err != nil {
		return nil, err
	}
	return l.KVClient.Txn(ctx, r, opts...)
}

// DeleteTree succeeds although other clients keep writing in the range of locks that
// it deletes from.
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

// Without a domain, a lock and a value have the same key.
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

// Of two nested domains, the outer one sees the locks of the inner one as keys,
// because they cannot be distinguished from data with a TTL for certain. When it
// deletes them, their holders are notified.
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
	receive(t, lostOf(t, pair), "the loss of the removed lock")
	require.Equal(t, kvdb.ErrInvalidLock, inner.Unlock(pair))
}
