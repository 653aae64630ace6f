package consul

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Raft knows a new server some seconds before autopilot does.
func TestMembersOfUnknownHealth(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	o := observe(t, cluster.Endpoints()[0])
	kv := open(t, "members", []string{o.URL}, nil)
	o.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/operator/autopilot/health" {
			return false
		}
		answer(w, r, http.StatusTooManyRequests, `{"Healthy": false, "Servers": []}`) // Consul's status when not all servers are healthy
		return true
	})
	members, err := kv.ListMembers()
	require.NoError(t, err)
	require.Len(t, members, 1)
	for _, member := range members {
		require.True(t, member.HasStarted)
		require.False(t, member.IsHealthy)
		require.True(t, member.Leader)
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{Members: 3})
	kv := open(t, "members", cluster.Endpoints(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), await)
	defer cancel()
	leader, err := cluster.Leader(ctx)
	require.NoError(t, err)
	endpoints := map[string]string{}
	for _, m := range cluster.All() {
		endpoints[m.Name()] = m.Endpoint()
	}
	var before map[uint64]*kvdb.MemberInfo
	eventually(t, "autopilot does not report that all servers are healthy", func() bool {
		before, err = kv.ListMembers()
		require.NoError(t, err)
		well := len(before) == 3
		for _, member := range before {
			well = well && member.IsHealthy
		}
		return well
	})
	for _, member := range before {
		require.Equal(t, []string{endpoints[member.Name]}, member.ClientUrls)
		require.Equal(t, member.Name == leader.Name(), member.Leader)
		require.False(t, member.IsLearner)
		require.Len(t, member.PeerUrls, 1)
	}

	// A server that has died is not healthy, and can be removed.
	var dead *servers.Member
	for _, m := range cluster.All() {
		if m != leader {
			dead = m
		}
	}
	require.NoError(t, dead.Kill())
	var id uint64
	eventually(t, "autopilot does not report the dead server", func() bool {
		now, err := kv.ListMembers()
		require.NoError(t, err)
		for i, member := range now {
			if member.Name == dead.Name() {
				id = i
				return !member.IsHealthy
			}
		}
		return false
	})
	require.Contains(t, before, id)
	removed := make(chan error, 8)
	for range cap(removed) {
		go func() { removed <- kv.RemoveMemberByID(id) }()
	}
	for range cap(removed) {
		require.NoError(t, <-removed, "one of several removals at the same time")
	}
	after, err := kv.ListMembers()
	require.NoError(t, err)
	require.Len(t, after, 2)
	require.NotContains(t, after, id)
	require.NoError(t, kv.RemoveMember(dead.Name(), ""), "it was removed before")
	for i := range after {
		require.Contains(t, before, i, "the IDs of the others have changed")
	}
}
