package zookeeper

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A user who may reconfigure adds and removes members.
func TestMembers(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3})
	user, password, _ := strings.Cut(servers.SuperUser, ":")
	options := map[string]string{kvdb.UsernameKey: user, kvdb.PasswordKey: password}
	kv := instance(t, "d", cluster.Endpoints(), options)
	members := func(n int) map[uint64]*kvdb.MemberInfo {
		t.Helper()
		infos, err := kv.ListMembers()
		require.NoError(t, err)
		require.Len(t, infos, n)
		return infos
	}
	var leaders []uint64
	for id, info := range members(3) {
		require.True(t, info.HasStarted && info.IsHealthy && !info.IsLearner, "member %d", id)
		if info.Leader {
			leaders = append(leaders, id)
		}
	}
	require.Len(t, leaders, 1)

	// The new members never start. The three others are a quorum.
	urls, err := kv.AddMember("127.0.0.1", "1001", "server.7")
	require.NoError(t, err)
	require.Len(t, urls, 4)
	require.Equal(t, []string{"127.0.0.1:1001"}, urls["7"])
	_, err = kv.AddMember("127.0.0.1", "1002", "7")
	require.ErrorIs(t, err, kvdb.ErrExist)
	_, err = kv.AddLearner("127.0.0.1", "1003", "any name")
	require.NoError(t, err)
	infos := members(5)
	require.Equal(t, "server.7", infos[7].Name)
	require.Equal(t, "7", infos[7].ID)
	require.False(t, infos[7].IsLearner || infos[7].HasStarted || infos[7].IsHealthy || infos[7].Leader)
	require.True(t, infos[8].IsLearner, "a name without a number gets the next one")
	require.Empty(t, infos[7].ClientUrls, "it is down")
	config, _, err := raw(t, cluster.All()[0]).Get(configPath)
	require.NoError(t, err)
	clients := map[string]bool{}
	for line := range strings.Lines(string(config)) {
		if _, client, found := strings.Cut(line, ";"); found {
			require.False(t, clients[client], "two members with one address for clients")
			clients[client] = true
		}
	}
	require.Len(t, clients, 5)
	_, err = kv.UpdateMember("127.0.0.1", "1004", "server.7")
	require.NoError(t, err)
	require.Equal(t, []string{"127.0.0.1:1004"}, members(5)[7].PeerUrls)
	_, err = kv.AddMember("127.0.0.1", "no port", "9")
	require.ErrorIs(t, err, kvdb.ErrIllegal)
	require.NoError(t, kv.RemoveMember("server.7", "127.0.0.2"), "there is no such member")
	seventh := ""
	for line := range strings.Lines(string(config)) {
		if _, client, found := strings.Cut(line, ";"); found && strings.HasPrefix(line, "server.7=") {
			seventh = strings.Replace(strings.TrimSpace(client), "0.0.0.0", "127.0.0.1", 1)
		}
	}
	require.NotEmpty(t, seventh)
	require.NoError(t, kv.SetEndpoints(append([]string{"tcp://" + seventh}, cluster.Endpoints()...)))
	require.NoError(t, kv.RemoveMember("server.7", "127.0.0.1"))
	require.Equal(t, cluster.Endpoints(), kv.GetEndpoints(), "without the removed member's")
	require.NoError(t, kv.RemoveMemberByID(8))
	require.NoError(t, kv.RemoveMemberByID(8), "it was removed before")

	stranger := instance(t, "d", cluster.Endpoints(), nil)
	_, err = stranger.AddMember("127.0.0.1", "1001", "7")
	require.ErrorIs(t, err, zk.ErrNoAuth)

	// An instance that is connected to a follower removes the leader. The follower
	// closes the connection before it answers. The instances go on with the others.
	leader := cluster.All()[leaders[0]-1]
	follower := cluster.All()[leaders[0]%3]
	atFollower := instance(t, "d", []string{follower.Endpoint()}, options)
	require.NoError(t, atFollower.SetEndpoints(cluster.Endpoints()))
	require.NoError(t, atFollower.RemoveMemberByID(leaders[0]))
	require.NoError(t, leader.Kill())
	members(2)
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
}

// An instance uses the endpoints that were set when the earlier ones are gone.
func TestSetEndpoints(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3})
	all := cluster.All()
	kv := instance(t, "d", []string{all[0].Endpoint()}, nil)
	seen := events(t, kv, "", 0)
	require.Error(t, kv.SetEndpoints(nil))
	require.Error(t, kv.SetEndpoints([]string{""}))
	require.Equal(t, []string{all[0].Endpoint()}, kv.GetEndpoints())
	others := []string{all[1].Endpoint(), all[2].Endpoint()}
	require.NoError(t, kv.SetEndpoints(others))
	require.Equal(t, others, kv.GetEndpoints())
	require.NoError(t, all[0].Kill())
	require.Eventually(t, func() bool {
		_, err := kv.Put("key", "value", 0)
		return err == nil
	}, patience, 100*time.Millisecond)
	require.Equal(t, "key", receive(t, seen, "the event").Key)
}

// Watches, too, use the endpoints that were set while they try to reach the earlier ones.
func TestSetEndpointsInAnOutage(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	o := observe(t, member)
	address := o.Addr().String()
	kv := instance(t, "d", []string{address}, nil)
	seen := events(t, kv, "", 0)
	o.kill()
	gone, err := net.Listen("tcp", address)
	require.NoError(t, err)
	defer gone.Close()
	for looking := false; !looking; {
		conn, err := gone.Accept()
		require.NoError(t, err)
		messages(conn, func(_ bool, message []byte) error {
			// Length, version and zxid come before the timeout.
			timeout := time.Duration(binary.BigEndian.Uint32(message[16:])) * time.Millisecond
			looking = timeout == watchSessionTimeout
			return net.ErrClosed
		})
		require.NoError(t, conn.Close())
	}
	require.NoError(t, kv.SetEndpoints([]string{member.Endpoint()}))
	require.Eventually(t, func() bool {
		_, err := kv.Put("key", "value", 0)
		return err == nil
	}, patience, 100*time.Millisecond)
	require.Equal(t, "key", receive(t, seen, "the event").Key)
}

// A change of the members whose result cannot be read has an unknown outcome, because it may have
// been made.
func TestReconfigurationThatIsNotReadBack(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, servers.Options{Config: []string{"standaloneEnabled=false"}}).All()[0]
	o := observe(t, member)
	user, password, _ := strings.Cut(servers.SuperUser, ":")
	kv := instance(t, "d", []string{o.Addr().String()}, map[string]string{kvdb.UsernameKey: user, kvdb.PasswordKey: password})
	infos, err := kv.ListMembers()
	require.NoError(t, err)
	require.Len(t, infos, 1)
	reads, answer := 0, make(chan struct{})
	defer close(answer)
	o.intercept(func(q traffic) <-chan struct{} {
		if q.path != configPath {
			return nil
		}
		if reads++; reads == 1 {
			return nil
		}
		return answer
	}, nil)
	for _, info := range infos {
		host, port, err := net.SplitHostPort(info.PeerUrls[0])
		require.NoError(t, err)
		_, err = kv.UpdateMember(host, port, info.Name)
		require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
		require.NotErrorIs(t, err, kvdb.ErrNoConnection)
		require.ErrorContains(t, err, "reconfigured")
	}
}

// A member may have several addresses, of which the first counts.
func TestParseMember(t *testing.T) {
	for value, want := range map[string]member{
		"host:2888:3888:participant;2181":                        {host: "host", port: "2888", client: "host:2181"},
		"host:2888:3888;0.0.0.0:2181":                            {host: "host", port: "2888", client: "host:2181"},
		"host:2888:3888:observer;other:2181":                     {host: "host", port: "2888", client: "other:2181", observer: true},
		"host:2888:3888|more:2889:3889:participant;0.0.0.0:2181": {host: "host", port: "2888", client: "host:2181"},
		"[::1]:2888:3888|[::2]:2888:3888:observer;[::]:2181":     {host: "::1", port: "2888", client: "[::1]:2181", observer: true},
	} {
		want.id, want.line = 7, value
		got, err := parseMember("7", value)
		require.NoError(t, err, value)
		require.Equal(t, want, got)
	}
	for _, value := range []string{"", "host", "host:2888", "|"} {
		_, err := parseMember("7", value)
		require.Error(t, err, value)
	}
}

// Servers that do not allow reconfiguration make it kvdb.ErrNotSupported.
func TestReconfigurationDisabled(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{Config: []string{"reconfigEnabled=false", "standaloneEnabled=false"}})
	user, password, _ := strings.Cut(servers.SuperUser, ":")
	kv := instance(t, "d", cluster.Endpoints(), map[string]string{kvdb.UsernameKey: user, kvdb.PasswordKey: password})
	infos, err := kv.ListMembers()
	require.NoError(t, err)
	require.Len(t, infos, 1)
	_, err = kv.AddMember("127.0.0.1", "1001", "7")
	require.Equal(t, kvdb.ErrNotSupported, err)
}
