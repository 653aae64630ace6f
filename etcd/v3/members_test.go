package etcdv3

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

func peerOf(m *servers.Member) (ip, port string) {
	host, p := m.Peer()
	return host, strconv.Itoa(p)
}

// infoOf returns what ListMembers reports about a member.
func infoOf(t *testing.T, kv kvdb.Kvdb, m *servers.Member) *kvdb.MemberInfo {
	t.Helper()
	members, err := kv.ListMembers()
	require.NoError(t, err)
	for _, info := range members {
		if info.Name == m.Name() {
			return info
		}
	}
	return nil
}

// A cluster grows from one member to three and shrinks again, under writes.
func TestMembership(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	kv := instance(t, cluster, "d", nil)
	writer := instance(t, cluster, "d", nil)
	done, writes := make(chan struct{}), make(chan int, 1)
	go func() {
		n := 0
		defer func() { writes <- n }()
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := writer.Put("key", strconv.Itoa(n), 0); err == nil {
				n++
			}
		}
	}()

	// Add a second member with a vote. There is no quorum until it runs.
	second, err := cluster.Add()
	require.NoError(t, err)
	ip, port := peerOf(second)
	began := time.Now()
	urls, err := kv.AddMember(ip, port, second.Name())
	require.NoError(t, err)
	require.Less(t, time.Since(began), 5*time.Second)
	require.Len(t, urls, 2)
	require.Equal(t, []string{"http://" + ip + ":" + port}, urls[second.Name()])
	require.Contains(t, urls, cluster.All()[0].Name())
	list, err := kv.ListMembers() // what the only running member knows
	require.NoError(t, err)
	require.Len(t, list, 2)
	for _, info := range list {
		if info.Name == "" {
			require.False(t, info.HasStarted)
			require.False(t, info.IsHealthy)
		}
	}
	client := raw(t, cluster)
	answers := func(m *servers.Member) {
		t.Helper()
		require.NoError(t, m.Start())
		eventually(t, m.Name()+" does not answer", func() bool {
			_, err := client.Status(t.Context(), m.Direct())
			return err == nil
		})
	}
	answers(second)
	info := infoOf(t, kv, second)
	require.NotNil(t, info)
	require.True(t, info.IsHealthy, "it answers")
	require.True(t, info.HasStarted)
	require.Positive(t, info.DbSize)

	// Add a third member as a learner, and promote it when it has caught up.
	third, err := cluster.Add()
	require.NoError(t, err)
	ip, port = peerOf(third)
	urls, err = kv.AddLearner(ip, port, third.Name())
	require.NoError(t, err)
	require.Len(t, urls, 3)
	answers(third)
	info = infoOf(t, kv, third)
	require.NotNil(t, info)
	require.True(t, info.IsHealthy, "it answers")
	require.True(t, info.IsLearner)
	id, err := strconv.ParseUint(info.ID, 16, 64)
	require.NoError(t, err)
	eventually(t, "the learner cannot be promoted", func() bool {
		_, err := client.MemberPromote(t.Context(), id)
		return err == nil
	})
	require.False(t, infoOf(t, kv, third).IsLearner)

	// An instance that knows all members works without any one of them.
	require.NoError(t, kv.SetEndpoints(cluster.Endpoints()))
	require.Equal(t, cluster.Endpoints(), kv.GetEndpoints())
	leader, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	require.True(t, infoOf(t, kv, leader).Leader)
	require.NoError(t, third.Kill())
	began = time.Now()
	dead := infoOf(t, kv, third)
	require.Less(t, time.Since(began), 8*time.Second)
	require.False(t, dead.IsHealthy)
	require.True(t, dead.HasStarted)
	require.Empty(t, dead.ClientUrls)
	require.Equal(t, []string{leader.Endpoint()}, infoOf(t, kv, leader).ClientUrls)

	// A member moves to another address and comes back.
	_, port = peerOf(third)
	urls, err = kv.UpdateMember("192.0.2.77", port, third.Name())
	require.NoError(t, err)
	require.Equal(t, []string{"http://192.0.2.77:" + port}, urls[third.Name()])
	_, err = kv.UpdateMember("192.0.2.78", port, "nobody")
	require.Equal(t, kvdb.ErrMemberDoesNotExist, err)
	require.NoError(t, third.Start())
	eventually(t, "the member that moved is not healthy", func() bool { return infoOf(t, kv, third).IsHealthy })

	require.NoError(t, kv.RemoveMember(third.Name(), ""))
	require.NoError(t, cluster.Remove(third))
	require.Equal(t, cluster.Endpoints(), kv.GetEndpoints(), "the endpoints of the removed member remain")
	require.NoError(t, kv.RemoveMember(third.Name(), "192.0.2.200"), "it was removed before")
	require.NoError(t, kv.RemoveMemberByID(id), "it was removed before")
	require.Nil(t, infoOf(t, kv, third))

	// A member that never starts is found by its address.
	_, err = kv.AddLearner("192.0.2.99", "1", "never")
	require.NoError(t, err)
	require.NoError(t, kv.RemoveMember("never", "192.0.2.99"))
	for _, bad := range [][2]string{{"", "1"}, {"192.0.2.1", ""}} {
		_, err := kv.AddMember(bad[0], bad[1], "bad")
		require.ErrorIs(t, err, kvdb.ErrIllegal)
	}
	for _, endpoint := range cluster.Endpoints() {
		require.NoError(t, kv.Defragment(endpoint, 30))
	}
	close(done)
	require.Positive(t, <-writes)

	// An instance that had only the endpoint of the removed member continues with the
	// others.
	only, err := newInstance("d", []string{second.Endpoint()}, nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(only)) }()
	require.NoError(t, only.RemoveMember(second.Name(), ""))
	require.NoError(t, cluster.Remove(second))
	require.Equal(t, cluster.Endpoints(), only.GetEndpoints())
	_, err = only.Put("key", "value", 0)
	require.NoError(t, err)
}

// Without a quorum members are still listed, and within seconds.
func TestMembersWithoutQuorum(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{Members: 3})
	kv := instance(t, cluster, "d", nil)
	for _, m := range cluster.All()[1:] {
		require.NoError(t, m.Pause())
	}
	began := time.Now()
	list, err := kv.ListMembers()
	require.NoError(t, err)
	require.Less(t, time.Since(began), 10*time.Second)
	require.Len(t, list, 3)
	for _, info := range list {
		if info.Name != cluster.All()[0].Name() {
			require.False(t, info.IsHealthy)
		}
	}
	require.Error(t, kv.Defragment(cluster.Endpoints()[1], 1), "it does not answer")
	require.Error(t, kv.Defragment("", 1))
	require.Error(t, kv.SetEndpoints([]string{"https://127.0.0.1:1"}))
	require.Error(t, kv.SetEndpoints([]string{""}))
	require.Equal(t, cluster.Endpoints(), kv.GetEndpoints())
}
