package zookeeper

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A key that is deleted and created again between the read and the write of a
// comparison has the same version, and is another one.
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
			require.Equal(t, before.Version, after.Version, "the case that is tested")
			got, err := other.Get(name)
			require.NoError(t, err)
			require.Equal(t, "another", string(got.Value))
		})
	}
}

// Directories are no keys, whatever is done to them, and become keys.
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

	// The server removes containers without children, but no keys.
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

// A request that is too large is refused before it is sent: the server would
// end the connection.
func TestTooLarge(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv := instance(t, "d", []string{member.Endpoint()}, nil)
	value := strings.Repeat("x", maxValue)
	longest := strings.Repeat("k", maxKey-len("d/"))
	for _, key := range []string{"short", longest, longest[:len(longest)-10] + "/dir/key"} {
		_, err := kv.Put(key, value, 0)
		require.NoError(t, err)
		_, err = kv.Put(key, value, 0)
		require.NoError(t, err)
		pair, err := kv.CompareAndSet(&kvdb.KVPair{Key: key, Value: []byte(value)}, 0, []byte(value))
		require.NoError(t, err)
		_, err = kv.Delete(pair.Key)
		require.NoError(t, err)
		_, err = kv.Create(key, value, 0)
		require.NoError(t, err)
		_, err = kv.Put(key, value+"x", 0)
		require.ErrorIs(t, err, kvdb.ErrTooLarge)
	}
	for n, want := range map[int]error{3: nil, 4: nil, 5: kvdb.ErrTooLarge} {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for i := range n {
			_, err := tx.Put(fmt.Sprintf("tx/%d", i), value[:len(value)/4], 0)
			require.NoError(t, err)
		}
		require.ErrorIs(t, tx.Commit(), want)
	}
}

// What an instance with a login creates is for that user.
func TestLogin(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	mine := instance(t, "d", []string{member.Endpoint()}, map[string]string{kvdb.UsernameKey: "me", kvdb.PasswordKey: "secret"})
	_, err := mine.Put("dir/key", "value", 0)
	require.NoError(t, err)
	_, err = mine.Put("dir/key", "value", 0)
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
	}
	pair, err := mine.LockWithTimeout("dir/key", "me", 0, 0)
	require.NoError(t, err)
	require.NoError(t, mine.Unlock(pair))
	_, err = mine.Delete("dir/key")
	require.NoError(t, err)
	_, err = New("d", []string{member.Endpoint()}, map[string]string{kvdb.UsernameKey: "me"}, nil)
	require.Equal(t, kvdb.ErrNoPassword, err)
}

// A write whose reply is lost is not sent again: whether it ran is not known.
func TestWriteWhoseReplyIsLost(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv, conn := instance(t, "d", []string{o.Addr().String()}, nil), raw(t, member)
	_, err := kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	for range 2 { // the first deletion makes what counts deletions
		_, err = kv.Delete("dir/gone")
		require.True(t, err == nil || err == kvdb.ErrNotFound)
		_, err = kv.Put("dir/gone", "value", 0)
		require.NoError(t, err)
	}
	for name, c := range map[string]struct {
		operation string
		call      func() error
	}{
		"Put":    {"setData", func() error { _, err := kv.Put("dir/key", "put", 0); return err }},
		"Create": {"multi", func() error { _, err := kv.Create("dir/new", "created", 0); return err }},
		"Delete": {"multi", func() error { _, err := kv.Delete("dir/gone"); return err }},
	} {
		sent := 0
		o.intercept(nil, func(q traffic) {
			if q.operation == c.operation {
				sent++
				o.sever()
			}
		})
		require.ErrorIs(t, c.call(), kvdb.ErrUnknownOutcome, name)
		_, err := kv.Get("dir/key") // the instance has a connection again
		require.NoError(t, err)
		o.intercept(nil, nil)
		require.Equal(t, 1, sent, name)
	}
	for path, version := range map[string]int32{"/d/dir/key": 2, "/d/dir/new": 1} {
		exists, stat, err := conn.Exists(path)
		require.NoError(t, err)
		require.True(t, exists, path)
		require.Equal(t, version, stat.Version, path)
	}
	exists, _, err := conn.Exists("/d/dir/gone")
	require.NoError(t, err)
	require.False(t, exists)
}

// A reply that comes after the caller has given up is for nobody, and does the
// instance no harm.
func TestCallThatIsGivenUp(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv := instance(t, "d", []string{o.Addr().String()}, nil)
	_, err := kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	for operation, call := range map[string]func(kv kvdb.Kvdb) error{
		"multi":   func(kv kvdb.Kvdb) error { _, err := kv.Create("dir/new", "value", 0); return err },
		"exists":  func(kv kvdb.Kvdb) error { _, err := kv.Update("dir/key", "value", 0); return err },
		"getData": func(kv kvdb.Kvdb) error { _, err := kv.Delete("dir/key"); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		returned := make(chan struct{})
		o.intercept(nil, func(q traffic) {
			if q.operation == operation {
				cancel()
				<-returned
			}
		})
		require.ErrorIs(t, call(kvdb.WithContext(ctx, kv)), context.Canceled, operation)
		o.intercept(nil, nil)
		close(returned)
		_, err := kv.Get("dir/key") // comes after the late reply
		require.NoError(t, err)
	}
}

// interruptedPut makes the directory /d/dir a key by a Put that ends before it
// has made what keeps the server from removing it.
func interruptedPut(t *testing.T, member *servers.Member, dir string) {
	t.Helper()
	o := observe(t, member)
	kv := instance(t, "d", []string{o.Addr().String()}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.intercept(func(q traffic) <-chan struct{} {
		if q.path != "/d/"+dir+"/%kvdb/keep" {
			return nil
		}
		cancel()
		return make(chan struct{})
	}, nil)
	_, err := kvdb.WithContext(ctx, kv).Put(dir, "written", 0)
	require.ErrorIs(t, err, context.Canceled)
	o.kill()
}

// A key whose directory the server would remove, because the Put that made it a
// key was interrupted, stays once another write of it has succeeded.
func TestWriteAfterAnInterruptedPut(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv, conn := instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
	writes := map[string]func(key string) error{
		"Put":    func(key string) error { _, err := kv.Put(key, "acknowledged", 0); return err },
		"Update": func(key string) error { _, err := kv.Update(key, "acknowledged", 0); return err },
		"CompareAndSet": func(key string) error {
			_, err := kv.CompareAndSet(&kvdb.KVPair{Key: key, Value: []byte("acknowledged")}, 0, []byte("written"))
			return err
		},
		"Tx": func(key string) error {
			tx, err := kv.TxNew()
			require.NoError(t, err)
			_, err = tx.Put(key, "acknowledged", 0)
			require.NoError(t, err)
			return tx.Commit()
		},
	}
	for name, write := range writes {
		_, err := kv.Put(name+"/key", "value", 0)
		require.NoError(t, err)
		interruptedPut(t, member, name)
		require.NoError(t, write(name))
	}
	// A directory that never had anything in it, for whose creation another
	// program has just made it.
	_, err := conn.CreateContainer("/d/empty", nil, zk.FlagContainer, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	interruptedPut(t, member, "empty")
	require.NoError(t, writes["Update"]("empty"))
	writes["empty"] = nil
	_, err = kv.Put("empty/key", "value", 0)
	require.NoError(t, err)
	for name := range writes {
		_, err = kv.Delete(name + "/key")
		require.NoError(t, err)
	}
	for range 2 { // the server removes containers in rounds
		_, err = kv.Put("another/key", "value", 0)
		require.NoError(t, err)
		_, err = kv.Delete("another/key")
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			exists, _, err := conn.Exists("/d/another")
			return err == nil && !exists
		}, patience, 50*time.Millisecond)
	}
	for name := range writes {
		pair, err := kv.Get(name)
		require.NoError(t, err, name)
		require.Equal(t, "acknowledged", string(pair.Value), name)
	}
}

// A Put has written, and then the store cannot be reached any more. Nobody may
// conclude that it has not.
func TestPutThatIsCutOff(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv, conn := instance(t, "d", []string{o.Addr().String()}, nil), raw(t, member)
	_, err := kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	o.intercept(func(q traffic) <-chan struct{} {
		if q.path == "/d/dir/%kvdb/keep" {
			o.cut(true)
		}
		return nil
	}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = kvdb.WithContext(ctx, kv).Put("dir", "written", 0)
	require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
	require.NotErrorIs(t, err, kvdb.ErrNoConnection)
	data, _, err := conn.Get("/d/dir")
	require.NoError(t, err)
	require.Equal(t, "written", string(data), "the case that is tested")
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

// What the server, or its client, does not take is refused before it is sent. The
// server looks at UTF-16.
func TestIllegalCharacters(t *testing.T) {
	for c, legal := range map[rune]bool{
		0: false, '\n': false, ' ': true, 0x7f: false, 0x9f: false, 0xa0: true, 'é': true, '界': true, 0xd7ff: true,
		0xe000: false, 0xf900: true, 0xffef: true, 0xfff0: false, 0xffff: false, 0x10000: false, '😀': false, 0x10ffff: false,
	} {
		_, err := checkKey("key-" + string(c))
		require.Equal(t, legal, err == nil, "%U", c)
		_, err = checkPrefix("prefix-" + string(c))
		require.Equal(t, legal, err == nil, "%U", c)
	}
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	kv := instance(t, "d", []string{member.Endpoint()}, nil)
	for _, c := range []rune{' ', 0xa0, 'é', '界', 0xd7ff, 0xf900, 0xffef} {
		_, err := kv.Put("key-"+string(c), "value", 0)
		require.NoError(t, err, "%U", c)
		_, err = kv.Get("key-" + string(c))
		require.NoError(t, err, "%U", c)
	}
}

// A server that refuses a write because a quota is used up has answered.
func TestQuota(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"enforceQuota=true"}}).All()[0]
	kv, conn := instance(t, "d", []string{member.Endpoint()}, nil), raw(t, member)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	for _, znode := range [][2]string{
		{"/zookeeper/quota/d", ""},
		{"/zookeeper/quota/d/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=-1"},
		{"/zookeeper/quota/d/zookeeper_stats", "count=1,bytes=5"},
	} {
		_, err := conn.Create(znode[0], []byte(znode[1]), 0, zk.WorldACL(zk.PermAll))
		require.NoError(t, err)
	}
	_, err = kv.Put("key", "a value that is too long", 0)
	require.Error(t, err)
	require.NotErrorIs(t, err, kvdb.ErrUnknownOutcome)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = kvdb.WithContext(ctx, kv).LockWithTimeout("lock", "somebody with a name that is too long", 0, 0)
	require.Error(t, err)
	require.NoError(t, ctx.Err(), "it does not try again and again")
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
