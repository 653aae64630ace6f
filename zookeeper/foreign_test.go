package zookeeper

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A user who may only read gets a consistent snapshot. A watch from its index gets the later
// changes.
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

// others creates below /d what programs without this library may leave in a store, and
// returns the keys.
func others(t *testing.T, conn *zk.Conn) (keys []string) {
	t.Helper()
	world, nobody := zk.WorldACL(zk.PermAll), zk.DigestACL(zk.PermAll, "somebody", "else")
	create := func(path, value string, flags int32, acl []zk.ACL) string {
		t.Helper()
		created, err := conn.Create(path, []byte(value), flags, acl)
		require.NoError(t, err, path)
		return created
	}
	create("/d", "", 0, world)
	create("/d/empty", "", 0, world)
	create("/d/ephemeral", "value", zk.FlagEphemeral, world)
	create("/d/ephemeral empty", "", zk.FlagEphemeral, world)
	create("/d/value", "value", 0, world)
	sequential := create("/d/sequential-", "value", zk.FlagSequence, world)
	_, err := conn.CreateContainer("/d/container", []byte("value"), zk.FlagContainer, world)
	require.NoError(t, err)
	_, err = conn.CreateTTL("/d/ttl", []byte("value"), zk.FlagTTL, world, time.Hour)
	require.NoError(t, err)
	create("/d/dir", "value", 0, world)
	create("/d/dir/below", "value", 0, world)
	create("/d/dir/é \u00a0界", "value", 0, world)
	create("/d/dir/_hidden", "value", 0, world)
	create("/d/not readable", "value", 0, nobody)
	create("/d/dir not readable", "", 0, world)
	create("/d/dir not readable/key", "value", 0, world)
	_, err = conn.SetACL("/d/dir not readable", nobody, -1)
	require.NoError(t, err)
	create("/d/"+strings.Repeat("long", 3000), "value", 0, world)
	create("/d/%kvdb", "value", 0, world)
	create("/d/%kvdb/other", "value", 0, world)
	return []string{"container", "dir", "dir/below", "dir/é \u00a0界", keyOf(sequential)[len("d/"):], "ttl", "value"}
}

// Znodes of other programs disturb no list and no watch, and stay as they are. Lists and
// watches return those that Get accepts.
func TestZnodesOfOthers(t *testing.T) {
	member := servers.ZooKeeper(t, lazy).All()[0]
	conn, old := raw(t, member), earlierRelease(t, member)
	kv := instance(t, "d", []string{member.Endpoint()}, nil)
	_, err := kv.Get("nothing")
	require.Equal(t, kvdb.ErrNotFound, err)
	changes := events(t, kv, "", 0)
	want := others(t, conn)
	require.NoError(t, conn.AddAuth("digest", []byte(servers.SuperUser)))
	require.NoError(t, old.conn.AddAuth("digest", []byte(servers.SuperUser)))
	before := old.paths("/d")

	check := func(what string, got []string) {
		t.Helper()
		require.ElementsMatch(t, want, got, what)
		for _, key := range got {
			pair, err := kv.Get(key)
			require.NoError(t, err, "%s: %s", what, key)
			require.Equal(t, "value", string(pair.Value), "%s: %s", what, key)
		}
	}
	list := func(pairs kvdb.KVPairs) (keys []string) {
		for _, pair := range pairs {
			if !strings.HasSuffix(pair.Key, "_hidden") {
				keys = append(keys, pair.Key)
			}
		}
		return keys
	}
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	check("Enumerate", list(pairs))
	var paged kvdb.KVPairs
	for pair, err := range kv.(kvdb.Pager).EnumeratePages("", 2) {
		require.NoError(t, err)
		paged = append(paged, pair)
	}
	check("EnumeratePages", list(paged))
	snapshot, index, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	pairs, err = snapshot.Enumerate("")
	require.NoError(t, err)
	check("Snapshot", list(pairs))
	names, err := kv.Keys("", "")
	require.NoError(t, err)
	require.Equal(t, []string{"container", "dir", want[4], "ttl", "value"}, names)
	reported := map[string]bool{}
	for len(reported) < len(want)+1 {
		pair := receive(t, changes, "an event")
		require.NotNil(t, pair)
		reported[pair.Key] = true
	}
	delete(reported, "dir/_hidden")
	check("WatchTree", slices.Collect(maps.Keys(reported)))
	late := events(t, kv, "", 1)
	for range len(want) + 1 {
		require.NotNil(t, receive(t, late, "an event of the past"))
	}

	_, err = kv.Get("not readable")
	require.ErrorIs(t, err, kvdb.ErrPermission)
	_, err = kv.Enumerate("dir not readable/")
	require.ErrorIs(t, err, kvdb.ErrPermission, "an empty list would be wrong")
	require.ErrorIs(t, kv.DeleteTree(""), kvdb.ErrPermission)
	_, err = kv.Create("ephemeral empty", "value", 0)
	require.Equal(t, kvdb.ErrExist, err)
	_, err = kv.Put("ephemeral", "other", 0)
	require.ErrorIs(t, err, kvdb.ErrInvalidLock)
	require.ElementsMatch(t, before, old.paths("/d"), "all znodes are as before")

	// A change that the user may not read is not an event, but a later one that he may read is.
	_, err = conn.Set("/d/not readable", []byte("again"), -1)
	require.NoError(t, err)
	_, err = conn.Set("/d/value", []byte("again"), -1)
	require.NoError(t, err)
	for _, c := range []<-chan *kvdb.KVPair{changes, late, events(t, kv, "", index)} {
		pair := receive(t, c, "the event")
		require.NotNil(t, pair)
		require.Equal(t, "value", pair.Key)
	}
}
