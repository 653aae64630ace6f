package zookeeper

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// attempts is a hook that counts attempts at requests.
type attempts struct{ atomic.Int32 }

func (a *attempts) OnRequest(context.Context, kvdb.Request) { a.Add(1) }

// Without conflicts each operation sends only these requests.
func TestRequests(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{})
	o := observe(t, cluster.All()[0])
	kv := instance(t, "requests", []string{o.Addr().String()}, nil)
	seen := &attempts{}
	require.NoError(t, kvdb.AddHooks(kv, seen))
	pair, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	for i := range 256 { // the first deletion in a generation creates it
		key := fmt.Sprintf("old/%d", i)
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
	}
	require.NoError(t, kv.DeleteTree("old"))
	_, err = kv.Put("dir/0", "value", 0)
	require.NoError(t, err)
	pair, err = kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("2"), ModifiedIndex: pair.ModifiedIndex}, kvdb.KVModifiedIndex, nil)
	require.NoError(t, err)
	lock := func() error {
		pair, err := kv.LockWithTimeout("lock", "me", time.Second, 0)
		if err != nil {
			return err
		}
		return kv.Unlock(pair)
	}
	require.NoError(t, lock())
	check := func(what string, tries int, want []string, call func() error) {
		t.Helper()
		o.take()
		seen.Store(0)
		require.NoError(t, call(), what)
		got := o.take()
		slices.Sort(want)
		slices.Sort(got)
		require.Equal(t, want, got, what)
		// Requests that are sent together are one attempt.
		require.EqualValues(t, tries, seen.Load(), "%s: attempts that hooks have seen", what)
	}
	check("Get", 1, []string{"sync", "getData"}, func() error { _, err := kv.Get("key"); return err })
	check("Put", 1, []string{"setData"}, func() error { pair, err = kv.Put("key", "3", 0); return err })
	check("Put of a new key", 2, []string{"setData", "multi"}, func() error { _, err := kv.Put("new", "1", 0); return err })
	check("Create", 1, []string{"multi"}, func() error { _, err := kv.Create("dir/new", "1", 0); return err })
	check("Update", 2, []string{"exists", "setData"}, func() error { _, err := kv.Update("new", "2", 0); return err })
	check("CompareAndSet", 2, []string{"exists", "multi"}, func() error {
		pair, err = kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("4"), ModifiedIndex: pair.ModifiedIndex}, kvdb.KVModifiedIndex, nil)
		return err
	})
	check("Delete", 2, []string{"getData", "multi"}, func() error { _, err := kv.Delete("new"); return err })
	check("CompareAndDelete", 2, []string{"getData", "multi"}, func() error {
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
	check("Enumerate of 101", 1, want, func() error {
		pairs, err := kv.Enumerate("dir/")
		require.Len(t, pairs, 101)
		return err
	})
	tx := func(keys ...string) error {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for _, key := range keys {
			_, err = tx.Put(key, "value", 0)
			require.NoError(t, err)
		}
		return tx.Commit()
	}
	check("a transaction", 2, []string{"sync", "exists", "exists", "multi"}, func() error { return tx("dir/1", "dir/2") })
	try := []string{"sync", "exists", "exists", "exists", "multi"}
	check("a transaction in a new directory", 5, slices.Concat(try, []string{"createContainer"}, try), func() error {
		return tx("made/1", "made/2", "made/3")
	})
	check("Lock and Unlock", 2, []string{"multi", "multi"}, lock)
	check("IsKeyLocked", 1, []string{"sync", "getData"}, func() error { _, _, err := kv.IsKeyLocked("lock"); return err })
	want = []string{"sync", "getChildren", "multi"}
	for i := range 200 { // twice 100, because the first deletion in a generation creates it
		if i%100 == 0 {
			require.NoError(t, kv.DeleteTree("dir"))
		}
		_, err := kv.Put(fmt.Sprintf("dir/%d", i%100), "value", 0)
		require.NoError(t, err)
		if i >= 100 {
			want = append(want, "getChildren")
		}
	}
	check("DeleteTree of 100", 2, want, func() error { return kv.DeleteTree("dir") })
}

// Keys of a directory with large subdirectories, and a page of a large directory,
// read only a small part of them.
func TestRequestsOfPartialReads(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{})
	o := observe(t, cluster.All()[0])
	kv := instance(t, "d", []string{o.Addr().String()}, nil)
	const dirs, keys = 10, 200
	for i := range dirs {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for j := range keys {
			_, err := tx.Put(fmt.Sprintf("all/%d/%03d/key", i, j), "value", 0)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
	}
	o.take()
	names, err := kv.Keys("all", "")
	require.NoError(t, err)
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, names)
	require.LessOrEqual(t, len(o.take()), 2+3*dirs, "requests for Keys")
	n := 0
	for pair, err := range kv.(kvdb.Pager).EnumeratePages("all/", 50) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("all/%d/%03d/key", n/keys, n%keys), pair.Key)
		if n++; n == 50 {
			break
		}
	}
	require.Less(t, len(o.take()), keys*dirs/4, "requests for a page")
	for pair, err := range kvdb.PairsWith(kv, "all/", kvdb.PageOptions{KeysOnly: true, From: "all/9/100", Size: 50}) {
		require.NoError(t, err)
		require.Equal(t, "all/9/100/key", pair.Key)
		break
	}
	made := o.take()
	require.NotContains(t, made, "getData", "requests for keys only")
	require.Less(t, len(made), keys*dirs/4, "requests for a page from a key on")
}

// Keys leaves out each child that is neither a key nor has one below it.
func TestKeysOfDirectories(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv, conn := instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
	for _, key := range []string{"all/key", "all/both", "all/both/key", "all/deep/a/b/c/key", "all/wide/9/key", "all/_hidden"} {
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
	}
	empty := []string{"/d/all/empty", "/d/all/hollow", "/d/all/hollow/a", "/d/all/hollow/a/b", "/d/all/hollow/c"}
	for i := range 9 {
		empty = append(empty, fmt.Sprintf("/d/all/wide/%d", i))
	}
	for _, path := range empty {
		_, err := conn.Create(path, nil, 0, zk.WorldACL(zk.PermAll))
		require.NoError(t, err)
	}
	_, err := conn.Create("/d/all/foreign", []byte(`{"LockerID":"theirs"}`), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	lock, err := kv.LockWithTimeout("all/locked", "me", 0, 0)
	require.NoError(t, err)
	for prefix, want := range map[string][]string{
		"all":        {"_hidden", "both", "deep", "key", "wide"},
		"all/both":   {"key"},
		"all/deep/a": {"b"},
		"all/wide":   {"9"},
		"all/hollow": {},
		"all/locked": {},
		"nothing":    {},
		"":           {"all"},
	} {
		names, err := kv.Keys(prefix, "")
		require.NoError(t, err)
		require.Equal(t, want, names, "below %q", prefix)
	}
	names, err := kv.Keys("al", "l")
	require.NoError(t, err)
	require.Equal(t, []string{"l/_hidden", "l/both", "l/both/key", "l/deep/a/b/c/key", "l/key", "l/wide/9/key"}, names, "another separator")
	_, err = kv.Delete("all/wide/9/key")
	require.NoError(t, err)
	names, err = kv.Keys("all", "")
	require.NoError(t, err)
	require.Equal(t, []string{"_hidden", "both", "deep", "key"}, names)
	require.NoError(t, kv.Unlock(lock))
}
