package zookeeper

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// After a large transaction that created all its keys the next one is sent without reading
// first. If it finds a key after all, nothing is written by that request, and the next ones read
// first again.
func TestLargeTransactionsThatCreate(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{})
	o := observe(t, cluster.All()[0])
	kv := instance(t, "creates", []string{o.Addr().String()}, nil)
	commit := func(from, to int, value string) []string {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for i := from; i < to; i++ {
			_, err := tx.Put(fmt.Sprint("dir/", i), value, 0)
			require.NoError(t, err)
		}
		o.take()
		require.NoError(t, tx.Commit())
		requests := o.take()
		for i := from; i < to; i++ {
			pair, err := kv.Get(fmt.Sprint("dir/", i))
			require.NoError(t, err)
			require.Equal(t, value, string(pair.Value))
		}
		slices.Sort(requests)
		return slices.Compact(requests)
	}
	lock, err := kv.Lock("dir/70")
	require.NoError(t, err)
	reads := []string{"exists", "multi", "sync"}
	require.Subset(t, commit(0, 20, "first"), reads)
	require.Equal(t, []string{"multi"}, commit(20, 40, "first"))
	require.Equal(t, reads, commit(40, 41, "small"))
	require.Equal(t, reads, commit(30, 50, "second"), "keys that exist")
	require.Equal(t, reads, commit(80, 100, "first"))
	require.Subset(t, commit(60, 80, "first"), reads, "one of the keys is a lock")
	require.Equal(t, reads, commit(140, 160, "first"))
	require.Equal(t, []string{"multi"}, commit(100, 120, "first"))
	require.NoError(t, kv.Unlock(lock))
	pairs, err := kv.Enumerate("dir/")
	require.NoError(t, err)
	require.Len(t, pairs, 130)

	tx, err := kv.TxNew()
	require.NoError(t, err)
	for i := 120; i < 140; i++ {
		require.NoError(t, kvdb.TxDelete(tx, fmt.Sprint("dir/", i-20)))
		_, err := tx.Put(fmt.Sprint("dir/", i), "value", 0)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
	pairs, err = kv.Enumerate("dir/1")
	require.NoError(t, err)
	require.Len(t, pairs, 1+10+40, "1, 10 to 19, and 120 to 159")
}
