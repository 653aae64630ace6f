package zookeeper

import (
	"testing"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Who may only read gets a consistent snapshot, and a watch from its index gets what
// comes later.
func TestSnapshotOfAReader(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	admin := raw(t, member)
	require.NoError(t, admin.AddAuth("digest", []byte(servers.SuperUser)))
	read := zk.WorldACL(zk.PermRead)
	for _, path := range []string{"/d", "/d/dir", "/d/dir/key", "/d/key"} {
		value := []byte{}
		if path == "/d/dir/key" || path == "/d/key" {
			value = []byte("value")
		}
		_, err := admin.Create(path, value, 0, read)
		require.NoError(t, err)
	}
	_, err := admin.SetACL("/", read, -1)
	require.NoError(t, err)
	kv := instance(t, "d", []string{member.Endpoint()}, nil)
	_, err = kv.Put("key", "value", 0)
	require.ErrorIs(t, err, kvdb.ErrPermission)
	for range 3 {
		snapshot, index, err := kv.Snapshot(nil, true)
		require.NoError(t, err)
		pairs, err := snapshot.Enumerate("")
		require.NoError(t, err)
		require.Len(t, pairs, 2)
		for _, pair := range pairs {
			require.LessOrEqual(t, pair.ModifiedIndex, index)
		}
		changes := events(t, kv, "", index)
		stat, err := admin.Set("/d/key", []byte("later"), -1)
		require.NoError(t, err)
		pair := receive(t, changes, "the event")
		require.Equal(t, "key", pair.Key)
		require.Equal(t, uint64(stat.Mzxid), pair.ModifiedIndex)
	}
}
