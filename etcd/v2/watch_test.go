package etcdv2

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// told is a call of a watch callback.
type told struct {
	what string
	err  error
}

func watch(t *testing.T, kv kvdb.Kvdb, prefix string, after uint64) <-chan told {
	t.Helper()
	c := make(chan told, 10_000)
	require.NoError(t, kv.WatchTree(prefix, after, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err != nil {
			c <- told{err: err}
			return errors.New("over")
		}
		c <- told{what: fmt.Sprintf("%v %s at %d", pair.Action, pair.Key, pair.ModifiedIndex)}
		return nil
	}))
	return c
}

// More events of other keys than the server remembers are no reason to end a
// watch, also when its connection breaks; past events that it does not remember
// are.
func TestHistory(t *testing.T) {
	cluster := servers.Etcd35(t, servers.Options{})
	kv, err := New("history", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	put := func(key string) uint64 {
		pair, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
		return pair.ModifiedIndex
	}
	start := put("quiet/key")
	quiet := watch(t, kv, "quiet/", 0)
	for range 1100 {
		put("noise")
	}
	require.NoError(t, cluster.All()[0].Kill())
	require.NoError(t, cluster.All()[0].Start())
	var index uint64
	require.Eventually(t, func() bool {
		pair, err := kv.Update("quiet/key", "value", 0)
		if err == nil {
			index = pair.ModifiedIndex
		}
		return err == nil
	}, 30e9, 20e6)
	require.Equal(t, told{what: fmt.Sprintf("%v quiet/key at %d", kvdb.KVSet, index)}, receive(t, quiet))
	require.Equal(t, told{err: kvdb.ErrWatchRevisionCompacted}, receive(t, watch(t, kv, "quiet/", start)))
}

// The event of a deleted directory does not name its keys. A watch from before
// tells of each that was there at the time.
func TestPastDeleteTree(t *testing.T) {
	cluster := servers.Etcd35(t, servers.Options{})
	kv, err := New("past", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	index := func(pair *kvdb.KVPair, err error) uint64 {
		t.Helper()
		require.NoError(t, err)
		return max(pair.ModifiedIndex, pair.KVDBIndex)
	}
	for _, key := range []string{"dir/old", "dir/gone", "dir/deep/older", "dir/went"} {
		index(kv.Put(key, "value", 0))
	}
	index(kv.Delete("dir/gone"))
	start := index(kv.Put("other", "value", 0))
	created := index(kv.Put("dir/new", "value", 0))
	went := index(kv.Delete("dir/went"))
	require.NoError(t, kv.DeleteTree("dir"))
	again := index(kv.Put("dir/old", "again", 0))
	past := watch(t, kv, "", start)
	end := went + 1
	for _, want := range []string{
		fmt.Sprintf("%v dir/new at %d", kvdb.KVCreate, created),
		fmt.Sprintf("%v dir/went at %d", kvdb.KVDelete, went),
		fmt.Sprintf("%v dir/deep/older at %d", kvdb.KVDelete, end),
		fmt.Sprintf("%v dir/new at %d", kvdb.KVDelete, end),
		fmt.Sprintf("%v dir/old at %d", kvdb.KVDelete, end),
		fmt.Sprintf("%v dir/old at %d", kvdb.KVCreate, again),
	} {
		require.Equal(t, told{what: want}, receive(t, past))
	}
}
