package etcdv3

import (
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// assertSnapshots asserts that consistent snapshots show single moments while change
// changes two trees in turn, until it returns io.EOF. In a snapshot the trees differ by
// one step at most, and no pair is newer than the snapshot's index. A watch from that
// index delivers the later changes.
func assertSnapshots(t *testing.T, reader kvdb.Kvdb, change func(i int) error) {
	t.Helper()
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for i := 0; err == nil; i++ {
			select {
			case <-stop:
				err = io.EOF
			default:
				err = change(i)
			}
		}
		stopped <- err
	}()
	var first kvdb.Kvdb
	var index uint64
	for range 20 {
		snapshot, at, err := reader.Snapshot([]string{"left/", "right/"}, true)
		require.NoError(t, err)
		require.Positive(t, at)
		count := map[string]int{}
		pairs, err := snapshot.Enumerate("")
		require.NoError(t, err)
		for _, pair := range pairs {
			require.LessOrEqual(t, pair.ModifiedIndex, at)
			count[pair.Key[:strings.Index(pair.Key, "/")]]++
		}
		require.InDelta(t, count["left"], count["right"], 1)
		if first == nil {
			first, index = snapshot, at
		}
	}
	close(stop)
	require.Equal(t, io.EOF, <-stopped)
	modified := func(kv kvdb.Kvdb) map[string]uint64 {
		t.Helper()
		indexes := map[string]uint64{}
		for _, dir := range []string{"left/", "right/"} {
			pairs, err := kv.Enumerate(dir)
			require.NoError(t, err)
			for _, pair := range pairs {
				indexes[pair.Key] = pair.ModifiedIndex
			}
		}
		return indexes
	}
	state, now := modified(first), modified(reader)
	later := events(t, reader, "", index)
	for !maps.Equal(state, now) {
		event := receive(t, later, "a change after the snapshot")
		require.NotNil(t, event)
		require.Greater(t, event.ModifiedIndex, index)
		index = event.ModifiedIndex
		if event.Action == kvdb.KVDelete {
			delete(state, event.Key)
		} else {
			state[event.Key] = event.ModifiedIndex
		}
	}
}

// A user who may only read can take a consistent snapshot.
func TestSnapshotWithoutWritePermission(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--bcrypt-cost=4"}})
	admin := instance(t, cluster, "d", withUsers(t, cluster))
	require.NoError(t, admin.AddUser("reader", "secret"))
	require.NoError(t, admin.GrantUserAccess("reader", kvdb.ReadPermission, ""))
	reader := instance(t, cluster, "d", as("reader", "secret"))
	_, err := reader.Put("key", "value", 0)
	require.ErrorIs(t, err, kvdb.ErrPermission)
	assertSnapshots(t, reader, func(i int) error {
		_, err := admin.Create([]string{"left/", "right/"}[i%2]+strings.Repeat("x", i/2), "value", 0)
		return err
	})
}

// An etcd whose space quota is used up accepts no writes, but deletions, releases of
// locks and snapshots work.
func TestNoSpace(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--quota-backend-bytes=16777216"}})
	kv := instance(t, cluster, "d", nil)
	for _, dir := range []string{"left/", "right/"} {
		for i := range 200 {
			_, err := kv.Put(dir+strings.Repeat("x", i), "value", 0)
			require.NoError(t, err)
		}
	}
	for _, key := range []string{"delete", "compare", "tree/a", "tree/b"} {
		_, err := kv.Put(key, "value", 0)
		require.NoError(t, err)
	}
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	for err == nil {
		_, err = kv.Put("large", strings.Repeat("x", 1<<20), 0)
	}
	require.ErrorIs(t, err, rpctypes.ErrNoSpace)

	assertSnapshots(t, kv, func(i int) error {
		if i >= 400 {
			return io.EOF
		}
		_, err := kv.Delete([]string{"left/", "right/"}[i%2] + strings.Repeat("x", i/2))
		return err
	})
	_, err = kv.Delete("delete")
	require.NoError(t, err)
	_, err = kv.CompareAndDelete(&kvdb.KVPair{Key: "compare", Value: []byte("value")}, 0)
	require.NoError(t, err)
	require.NoError(t, kv.DeleteTree("tree"))
	require.NoError(t, kv.Unlock(lock))
	_, err = kv.Lock("lock")
	require.ErrorIs(t, err, rpctypes.ErrNoSpace)
	require.NotErrorIs(t, err, kvdb.ErrUnknownOutcome)
}
