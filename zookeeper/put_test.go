package zookeeper

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A write whose reply is lost is not sent again, because it may have run.
func TestWriteWhoseReplyIsLost(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv, conn := instance(t, "d", []string{o.Addr().String()}, nil), raw(t, member)
	_, err := kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	for range 2 { // the first deletion creates the generation
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

// A reply that comes after the caller has given up is discarded.
func TestLateReply(t *testing.T) {
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

// interruptedPut makes the directory /d/dir a key by a Put that ends before it has
// created the sentinel, which keeps the server from removing the directory.
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

// A key whose first Put was interrupted has no sentinel, so the server may remove
// it. After another write of the key has succeeded, it stays.
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
	// This directory has never had children, because another program has just
	// created it.
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

// A Put that has written returns ErrUnknownOutcome if the store cannot be reached
// after the write.
func TestPutOfUnknownOutcome(t *testing.T) {
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
	require.Equal(t, "written", string(data), "this test needs a Put that has written")
}

// One Put writes once, even if another client deletes the key meanwhile.
func TestPutOnce(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	kv, other := instance(t, "d", []string{o.Addr().String()}, nil), instance(t, "d", []string{member.Endpoint()}, nil)
	conn := raw(t, member)
	for _, path := range []string{"/d", "/d/key"} {
		_, err := conn.CreateContainer(path, nil, zk.FlagContainer, zk.WorldACL(zk.PermAll))
		require.NoError(t, err)
	}
	var once sync.Once
	o.intercept(func(q traffic) <-chan struct{} {
		if q.operation == "create" && q.path == "/d/key/%kvdb/keep" {
			once.Do(func() {
				pair, err := other.Delete("key")
				require.NoError(t, err)
				require.Equal(t, "value", string(pair.Value))
			})
		}
		return nil
	}, nil)
	_, err := kv.Put("key", "value", 0)
	require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
	_, err = other.Get("key")
	require.Equal(t, kvdb.ErrNotFound, err, "the one Put was deleted, and is there again")
}
