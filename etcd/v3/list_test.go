package etcdv3

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
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
// whole when locks and the marker of another snapshot are on any of the pages.
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
