package consul

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cache"
	"github.com/portworx/kvdb/test/servers"
)

// A cache never shows a part of a transaction, because a watch delivers all changes between
// two replies in one batch.
func TestCacheShowsWholeTransactions(t *testing.T) {
	t.Parallel()
	kv := open(t, "domain", servers.Consul(t, servers.Options{}).Endpoints(), nil)
	c, err := cache.New(t.Context(), kv, "dir/", cache.Options{})
	require.NoError(t, err)
	defer c.Close()
	keys := []string{"dir/a", "dir/b", "dir/c"}
	const transactions = 200
	written := make(chan error, 1)
	go func() { written <- writeTogether(kv, keys, transactions) }()
	for states := 0; ; states++ {
		v := c.View()
		values := map[string]bool{}
		for _, pair := range v.All() {
			values[string(pair.Value)] = true
		}
		require.LessOrEqual(t, len(values), 1, "values of one transaction, at %d", v.Index())
		require.Contains(t, []int{0, len(keys)}, v.Len())
		if values[strconv.Itoa(transactions-1)] {
			require.Greater(t, states, transactions/10)
			break
		}
		for c.View() == v {
			runtime.Gosched()
		}
	}
	require.NoError(t, <-written)
}

// writeTogether writes all keys in each of n transactions. Every tenth time it deletes them
// first, together.
func writeTogether(kv kvdb.Kvdb, keys []string, n int) error {
	for i := range n {
		if i%10 == 5 {
			if err := kv.DeleteTree("dir"); err != nil {
				return err
			}
		}
		tx, err := kv.TxNew()
		if err != nil {
			return err
		}
		for _, key := range keys {
			if _, err := tx.Put(key, strconv.Itoa(i), 0); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}
