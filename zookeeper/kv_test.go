package zookeeper

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/testing/security"
	"github.com/portworx/kvdb/test/servers"
)

// A key that is deleted and created again between the read and the write of a
// comparison has the same version, but the comparison fails.
func TestComparisonOfARecreatedKey(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o, conn := observe(t, member), raw(t, member)
	kv, other := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	for name, call := range map[string]func(pair *kvdb.KVPair) error{
		"CompareAndSet": func(pair *kvdb.KVPair) error {
			_, err := kv.CompareAndSet(&kvdb.KVPair{Key: pair.Key, Value: []byte("mine"), ModifiedIndex: pair.ModifiedIndex}, kvdb.KVModifiedIndex, nil)
			return err
		},
		"CompareAndDelete": func(pair *kvdb.KVPair) error {
			_, err := kv.CompareAndDelete(pair, kvdb.KVModifiedIndex)
			return err
		},
		"Tx": func(pair *kvdb.KVPair) error {
			tx, err := kv.TxNew()
			require.NoError(t, err)
			_, err = tx.Get(pair.Key)
			require.NoError(t, err)
			_, err = tx.Put(pair.Key, "mine", 0)
			require.NoError(t, err)
			return tx.Commit()
		},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := kv.Put(name, "value", 0)
			require.NoError(t, err)
			_, before, err := conn.Exists("/d/" + name)
			require.NoError(t, err)
			var once sync.Once
			o.intercept(func(q traffic) <-chan struct{} {
				if q.operation != "multi" {
					return nil
				}
				once.Do(func() {
					_, err := other.Delete(name)
					require.NoError(t, err)
					_, err = other.Put(name, "another", 0)
					require.NoError(t, err)
				})
				return nil
			}, nil)
			defer o.intercept(nil, nil)
			require.Equal(t, kvdb.ErrModified, call(pair))
			_, after, err := conn.Exists("/d/" + name)
			require.NoError(t, err)
			require.Equal(t, before.Version, after.Version, "this test needs equal versions")
			got, err := other.Get(name)
			require.NoError(t, err)
			require.Equal(t, "another", string(got.Value))
		})
	}
}

// Directories are not keys, whatever is done to them, and can become keys.
func TestDirectories(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv, conn := instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
	_, err := kv.Put("a/b/c", "value", 0)
	require.NoError(t, err)
	_, err = kv.Update("a/b", "x", 0)
	require.Equal(t, kvdb.ErrNotFound, err)
	_, err = kv.Delete("a/b")
	require.Equal(t, kvdb.ErrNotFound, err)
	_, err = kv.CompareAndSet(&kvdb.KVPair{Key: "a/b", Value: []byte("x")}, kvdb.KVPrevExists, nil)
	require.Equal(t, kvdb.ErrNotFound, err)
	_, err = kv.Create("a/b", "created", 0)
	require.NoError(t, err)
	_, err = kv.Create("a/b", "again", 0)
	require.Equal(t, kvdb.ErrExist, err)
	_, err = kv.Put("a", "put", 0)
	require.NoError(t, err)

	// The server removes containers without children, but not keys.
	_, err = kv.Delete("a/b/c")
	require.NoError(t, err)
	_, err = kv.Put("other/x", "value", 0)
	require.NoError(t, err)
	_, err = kv.Delete("other/x")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		exists, _, err := conn.Exists("/d/other")
		return err == nil && !exists
	}, patience, 50*time.Millisecond, "the server removes a container")
	for key, value := range map[string]string{"a": "put", "a/b": "created"} {
		pair, err := kv.Get(key)
		require.NoError(t, err)
		require.Equal(t, value, string(pair.Value))
	}
	for _, key := range []string{"a/b", "a"} {
		_, err = kv.Delete(key)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		exists, _, err := conn.Exists("/d/a")
		return err == nil && !exists
	}, patience, 50*time.Millisecond, "a directory that was a key is removed")
}

// Only the user that an instance logs in as may use what it creates.
func TestLogin(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	mine := instance(t, "d", []string{member.Endpoint()}, map[string]string{kvdb.UsernameKey: "me", kvdb.PasswordKey: "secret"})
	_, err := mine.Put("dir/key", "value", 0)
	require.NoError(t, err)
	pair, err := mine.Put("dir/key", "value", 0)
	require.NoError(t, err)
	for _, options := range []map[string]string{nil, {kvdb.UsernameKey: "me", kvdb.PasswordKey: "wrong"}} {
		other := instance(t, "d", []string{member.Endpoint()}, options)
		_, err = other.Get("dir/key")
		require.ErrorIs(t, err, zk.ErrNoAuth)
		_, err = other.Put("dir/key", "x", 0)
		require.ErrorIs(t, err, zk.ErrNoAuth)
		_, err = other.Put("dir/new", "x", 0)
		require.ErrorIs(t, err, zk.ErrNoAuth)
		_, err = other.LockWithTimeout("dir/key", "x", 0, 0)
		require.ErrorIs(t, err, zk.ErrNoAuth)
		security.Denied(t, other, "dir", pair, true)
	}
	pair, err = mine.LockWithTimeout("dir/key", "me", 0, 0)
	require.NoError(t, err)
	require.NoError(t, mine.Unlock(pair))
	_, err = mine.Delete("dir/key")
	require.NoError(t, err)
	_, err = New("d", []string{member.Endpoint()}, map[string]string{kvdb.UsernameKey: "me"}, nil)
	require.Equal(t, kvdb.ErrNoPassword, err)
}

// An instance without a domain leaves the server's own znodes alone.
func TestServersOwnZnodes(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv, conn := instance(t, "", []string{member.Endpoint()}, nil), raw(t, member)
	const quota = "/zookeeper/quota/d/zookeeper_limits"
	for _, path := range []string{"/zookeeper/quota/d", quota} {
		_, err := conn.Create(path, []byte("count=5,bytes=-1"), 0, zk.WorldACL(zk.PermAll))
		require.NoError(t, err)
	}
	_, err := kv.Put("zookeeper-key", "value", 0)
	require.NoError(t, err)
	ignore := func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error { return err }
	for call, f := range map[string]func(key string) error{
		"Get":        func(key string) error { _, err := kv.Get(key); return err },
		"Put":        func(key string) error { _, err := kv.Put(key, "value", 0); return err },
		"Delete":     func(key string) error { _, err := kv.Delete(key); return err },
		"WatchKey":   func(key string) error { return kv.WatchKey(key, 0, nil, ignore) },
		"DeleteTree": kv.DeleteTree,
		"Keys":       func(key string) error { _, err := kv.Keys(key, ""); return err },
		"Enumerate":  func(key string) error { _, err := kv.Enumerate(key + "/"); return err },
		"WatchTree":  func(key string) error { return kv.WatchTree(key+"/", 0, nil, ignore) },
		"Snapshot":   func(key string) error { _, _, err := kv.Snapshot([]string{key + "/"}, true); return err },
	} {
		for _, key := range []string{"zookeeper", "zookeeper/quota/d", "/zookeeper//quota/d"} {
			require.ErrorIs(t, f(key), kvdb.ErrIllegal, "%s %s", call, key)
		}
	}
	for _, prefix := range []string{"", "zoo", "zookeeper"} {
		pairs, err := kv.Enumerate(prefix)
		require.NoError(t, err)
		require.Len(t, pairs, 1, prefix)
		require.Equal(t, "zookeeper-key", pairs[0].Key)
		require.NoError(t, kv.WatchTree(prefix, 0, nil, ignore))
	}
	names, err := kv.Keys("", "")
	require.NoError(t, err)
	require.Equal(t, []string{"zookeeper-key"}, names)
	snapshot, _, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	pairs, err := snapshot.Enumerate("")
	require.NoError(t, err)
	require.Len(t, pairs, 1)
	require.NoError(t, kv.DeleteTree(""))
	_, err = kv.Get("zookeeper-key")
	require.Equal(t, kvdb.ErrNotFound, err)
	exists, _, err := conn.Exists(quota)
	require.NoError(t, err)
	require.True(t, exists)
}

// A snapshot, which may take long, does not begin during an outage.
func TestSnapshotInAnOutage(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv := instance(t, "d", []string{member.Endpoint()}, nil)
	require.NoError(t, member.Kill())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _, err := kvdb.WithContext(ctx, kv).Snapshot(nil, true)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.NoError(t, ctx.Err())
}

// DeleteTree of a directory that is also a key removes everything below it.
func TestDeleteTreeOfNamesLikeOurs(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv := instance(t, "d", []string{member.Endpoint()}, nil)
	for _, key := range []string{"dir", "dir/a", "dir/%kvdbx", "dir/%kvdb-more/key"} {
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
	}
	require.NoError(t, kv.DeleteTree("dir"))
	names, err := kv.Keys("dir", "")
	require.NoError(t, err)
	require.Empty(t, names)
}
