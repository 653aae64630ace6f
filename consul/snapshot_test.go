package consul

import (
	"strconv"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A user who may only read gets a consistent snapshot with the index of its state.
// No pair has a larger index, and a watch from that index gets the later changes.
func TestSnapshotByReader(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{ACL: true})
	client, management := raw(t, cluster.All()[0]), &api.WriteOptions{Token: cluster.Token}
	policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: "reader", Rules: `key_prefix "" { policy = "read" }`}, management)
	require.NoError(t, err)
	token, _, err := client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: policy.ID}}}, management)
	require.NoError(t, err)
	for _, domain := range []string{"reader", ""} {
		admin := open(t, domain, cluster.Endpoints(), map[string]string{kvdb.ACLTokenKey: cluster.Token})
		reader := open(t, domain, cluster.Endpoints(), map[string]string{kvdb.ACLTokenKey: token.SecretID})
		_, err := reader.Put("dir/key", "value", 0)
		require.ErrorIs(t, err, kvdb.ErrPermission)
		_, empty, err := reader.Snapshot([]string{"none/"}, true)
		require.NoError(t, err)
		require.NotZero(t, empty)
		for _, prefixes := range [][]string{nil, {"dir/"}, {"dir/", "other/"}} {
			last := uint64(0)
			for i := range 5 {
				pair, err := admin.Put("dir/"+strconv.Itoa(i), "value", 0)
				require.NoError(t, err)
				last = pair.ModifiedIndex
			}
			_, err = admin.Delete("dir/4")
			require.NoError(t, err)
			snapshot, index, err := reader.Snapshot(prefixes, true)
			require.NoError(t, err)
			pairs, err := snapshot.Enumerate("dir/")
			require.NoError(t, err)
			require.Len(t, pairs, 4)
			for _, pair := range pairs {
				require.LessOrEqual(t, pair.ModifiedIndex, index)
				require.Less(t, pair.ModifiedIndex, last)
			}
			later, err := admin.Put("dir/later", "value", 0)
			require.NoError(t, err)
			require.Greater(t, later.ModifiedIndex, index)
			require.Equal(t, later.ModifiedIndex, receive(t, events(t, reader, "dir/", index), "the first event").ModifiedIndex)
			require.NoError(t, admin.DeleteTree("dir"))
		}
	}
}
