package zookeeper

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// What each operation sends when nothing is in its way.
func TestRequests(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{})
	o := observe(t, cluster.All()[0])
	kv := instance(t, "requests", []string{o.Addr().String()}, nil)
	pair, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	for i := range 256 { // each generation is made at its first deletion
		key := fmt.Sprintf("old/%d", i)
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
	}
	require.NoError(t, kv.DeleteTree("old"))
	_, err = kv.Put("dir/0", "value", 0)
	require.NoError(t, err)
	pair, err = kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("2"), ModifiedIndex: pair.ModifiedIndex}, kvdb.KVModifiedIndex, nil)
	require.NoError(t, err)
	lock, err := kv.LockWithTimeout("lock", "me", time.Second, 0)
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))

	check := func(what string, want []string, call func() error) {
		t.Helper()
		o.take()
		require.NoError(t, call(), what)
		got := o.take()
		slices.Sort(want)
		slices.Sort(got)
		require.Equal(t, want, got, what)
	}
	check("Get", []string{"sync", "getData"}, func() error { _, err := kv.Get("key"); return err })
	check("Put", []string{"setData"}, func() error { pair, err = kv.Put("key", "3", 0); return err })
	check("Put of a new key", []string{"setData", "multi"}, func() error { _, err := kv.Put("new", "1", 0); return err })
	check("Create", []string{"multi"}, func() error { _, err := kv.Create("dir/new", "1", 0); return err })
	check("Update", []string{"exists", "multi"}, func() error { _, err := kv.Update("new", "2", 0); return err })
	check("CompareAndSet", []string{"exists", "multi"}, func() error {
		pair, err = kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("4"), ModifiedIndex: pair.ModifiedIndex}, kvdb.KVModifiedIndex, nil)
		return err
	})
	check("Delete", []string{"getData", "multi"}, func() error { _, err := kv.Delete("new"); return err })
	check("CompareAndDelete", []string{"getData", "multi"}, func() error {
		_, err := kv.CompareAndDelete(pair, kvdb.KVModifiedIndex)
		return err
	})
	for i := range 100 {
		_, err := kv.Put(fmt.Sprintf("dir/%d", i), "value", 0)
		require.NoError(t, err)
	}
	want := []string{"sync", "getChildren", "getData"}
	for range 101 {
		want = append(want, "getData")
	}
	check("Enumerate of 101", want, func() error {
		pairs, err := kv.Enumerate("dir/")
		require.Len(t, pairs, 101)
		return err
	})
	tx := func() error {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for _, key := range []string{"dir/1", "dir/2"} {
			_, err = tx.Put(key, "value", 0)
			require.NoError(t, err)
		}
		return tx.Commit()
	}
	check("a transaction", []string{"sync", "exists", "exists", "multi"}, tx)
}
