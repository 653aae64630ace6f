package etcdv3

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// fill writes n pairs with keys that begin with prefix.
func fill(t *testing.T, kv kvdb.Kvdb, prefix string, n int) {
	t.Helper()
	const perTx = 125
	for i := 0; i < n; i += perTx {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for j := i; j < min(n, i+perTx); j++ {
			_, err := tx.Put(fmt.Sprintf("%s%05d", prefix, j), "value", 0)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
	}
}

// A list, the names of children and a snapshot that take several requests are
// complete when locks and the marker of another snapshot are on any of the pages.
func TestLocksOnPages(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	requests := &counter{}
	kv := instance(t, cluster, "d", nil, grpc.WithChainUnaryInterceptor(requests.intercept))
	_, err := raw(t, cluster).Put(t.Context(), "d/a"+markerSign+"of another snapshot", "")
	require.NoError(t, err)
	const pairs = firstPage + 100
	fill(t, kv, "k/", pairs)
	fill(t, kv, "d/k/", pairs) // where locks are
	for _, key := range []string{"a", "k/00000x", "k/02000x", "z"} {
		_, err := kv.Lock(key)
		require.NoError(t, err)
	}
	all, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Len(t, all, 2*pairs)
	snapshot, _, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	copied, err := snapshot.Enumerate("")
	require.NoError(t, err)
	require.Equal(t, keysOf(all), keysOf(copied))
	names, err := kv.Keys("", "")
	require.NoError(t, err)
	require.Equal(t, []string{"d", "k"}, names)
	requests.take()
	names, err = kv.Keys("d", "")
	require.NoError(t, err)
	require.Equal(t, []string{"k"}, names)
	require.Equal(t, 3, requests.take()["Range"], "two pages, and the locks")
	for _, size := range []int{1, 7} {
		var paged kvdb.KVPairs
		for pair, err := range kv.(kvdb.Pager).EnumeratePages("d/k/0000", size) {
			require.NoError(t, err)
			paged = append(paged, pair)
		}
		require.Equal(t, keysOf(all[:10]), keysOf(paged))
	}
}

// compacting compacts the history before each of the first later pages.
type compacting struct {
	pb.KVClient
	times int
}

func (l *compacting) Range(ctx context.Context, r *pb.RangeRequest, opts ...grpc.CallOption) (*pb.RangeResponse, error) {
	if r.Revision != 0 && l.times > 0 {
		l.times--
		reply, err := l.Put(ctx, &pb.PutRequest{Key: []byte("other")})
		if err != nil {
			return nil, err
		}
		if _, err = l.Compact(ctx, &pb.CompactionRequest{Revision: reply.Header.Revision}); err != nil {
			return nil, err
		}
	}
	return l.KVClient.Range(ctx, r, opts...)
}

// A list begins anew whenever the history is compacted while it is read.
func TestListWhileCompacted(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	const pairs = firstPage + 100
	fill(t, instance(t, cluster, "", nil), "k/", pairs)
	s, err := open("", cluster.Endpoints(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	s.kv = &compacting{s.kv, 3}
	page, err := s.List(t.Context(), "k/", driver.ListOptions{})
	require.NoError(t, err)
	require.Len(t, page.Pairs, pairs)
}

// New watches and reads of several requests succeed although another client compacts
// the whole history again and again.
func TestCompactedAllTheTime(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	requests := &counter{}
	kv, client := instance(t, cluster, "d", nil, grpc.WithChainUnaryInterceptor(requests.intercept)), raw(t, cluster)
	const keys = 3 * firstPage
	fill(t, kv, "many/", keys)
	ctx, stop := context.WithCancel(t.Context())
	compacting := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			put, err := client.Put(t.Context(), "other", "value")
			if err == nil {
				_, err = client.Compact(t.Context(), put.Header.Revision)
			}
			if err != nil {
				compacting <- err
				return
			}
		}
		compacting <- nil
	}()
	for range 10 {
		requests.take()
		pairs, err := kv.Enumerate("many/")
		require.NoError(t, err)
		require.Len(t, pairs, keys)
		require.LessOrEqual(t, requests.take()["Range"], 3+3+1, "two attempts in pages, one without")
		names, err := kv.Keys("many", "")
		require.NoError(t, err)
		require.Len(t, names, keys)
		for _, consistent := range []bool{false, true} {
			snapshot, _, err := kv.Snapshot([]string{"many/"}, consistent)
			require.NoError(t, err)
			pairs, err := snapshot.Enumerate("")
			require.NoError(t, err)
			require.Len(t, pairs, keys)
		}
	}
	for i := range 300 {
		key := fmt.Sprint("watched/", i)
		stream := events(t, kv, key, 0)
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
		require.NotNil(t, receive(t, stream, "the event"), "watch %d is over", i)
	}
	stop()
	require.NoError(t, receive(t, compacting, "the end of the compactions"))
}
