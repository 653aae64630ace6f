package etcdv2

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// An instance drops the endpoints of a removed member. If there are no others, it uses
// those of the other members.
func TestEndpointsOfRemovedMember(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{Members: 3})
	all, removed := cluster.Endpoints(), cluster.All()[2]
	open := func(endpoints ...string) kvdb.Kvdb {
		kv, err := New("d", endpoints, nil, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
		return kv
	}
	kv, alone := open(all[2], all[0], all[1]), open(all[2])
	members, err := kv.ListMembers()
	require.NoError(t, err)
	remove := func(kv kvdb.Kvdb, name string) {
		// Members refuse changes until they have been connected for a while.
		eventually(t, "a member is not removed", func() bool { return kv.RemoveMember(name, "") == nil })
	}
	// If the removed member was the leader, the others elect a new one. A write during the
	// election fails.
	writes := func(kv kvdb.Kvdb) {
		eventually(t, "no write succeeds", func() bool {
			_, err := kv.Put("key", "value", 0)
			return err == nil
		})
	}
	remove(kv, removed.Name())
	require.Equal(t, all[:2], kv.GetEndpoints())
	for _, m := range members {
		if m.Name != removed.Name() {
			continue
		}
		id, err := strconv.ParseUint(m.ID, 16, 64)
		require.NoError(t, err)
		require.NoError(t, kv.RemoveMemberByID(id), "it was removed before")
	}
	writes(kv)

	// The instance that knew only the removed member removes another one.
	require.NoError(t, cluster.Remove(removed))
	require.NoError(t, alone.SetEndpoints(all[1:2]))
	remove(alone, cluster.All()[1].Name())
	require.Equal(t, all[:1], alone.GetEndpoints())
	writes(alone)
}
