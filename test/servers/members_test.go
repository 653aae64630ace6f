package servers_test

import (
	"encoding/json"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
)

// TestEtcdGrowsAndShrinks goes from one member to two and back, as a controller
// does, with another address for the second in between.
func TestEtcdGrowsAndShrinks(t *testing.T) {
	long(t)
	c := servers.Etcd(t, servers.Options{})
	b := &bench{require.New(t), t, c, etcd{newWeb(t, c)}}
	first := b.leader()
	b.put(first, "first")

	second, err := c.Add()
	b.NoError(err)
	host, port := second.Peer()
	status, answer, err := newWeb(t, c).do(t.Context(), "POST", first.Endpoint()+"/v3/cluster/member/add",
		`{"peerURLs":["http://`+net.JoinHostPort(host, strconv.Itoa(port))+`"]}`)
	b.NoError(err)
	b.Equal(200, status, answer)
	b.NoError(second.Start())
	b.has(second, "first")
	b.put(second, "second")
	b.has(first, "second")

	var added struct{ Member struct{ ID string } }
	b.NoError(json.Unmarshal([]byte(answer), &added))
	status, answer, err = newWeb(t, c).do(t.Context(), "POST", first.Endpoint()+"/v3/cluster/member/update",
		`{"ID":"`+added.Member.ID+`","peerURLs":["http://`+net.JoinHostPort("192.0.2.200", strconv.Itoa(port))+`"]}`)
	b.NoError(err)
	b.Equal(200, status, answer)
	b.NoError(second.Restart())
	b.has(second, "second")

	// With one of two cut off nothing works; so the link is really in between.
	b.NoError(second.Peers().Cut())
	b.stuck(second.Endpoint())
	b.NoError(second.Peers().Heal())
	b.ready()
	b.put(second, "third")

	// etcd refuses as long as the members were not connected for five seconds.
	b.Eventually(func() bool {
		status, _, err := newWeb(t, c).do(t.Context(), "POST", first.Endpoint()+"/v3/cluster/member/remove",
			`{"ID":"`+added.Member.ID+`"}`)
		return err == nil && status == 200
	}, patience, glimpse)
	b.NoError(c.Remove(second))
	b.Len(c.All(), 1)
	b.put(first, "alone")
}

func TestConsulJoins(t *testing.T) {
	long(t)
	c := servers.Consul(t, servers.Options{Members: 3})
	b := &bench{require.New(t), t, c, consul{newWeb(t, c)}}
	b.put(b.leader(), "first")
	fourth, err := c.Add()
	b.NoError(err)
	b.NoError(fourth.Start())
	b.has(fourth, "first")
	b.put(fourth, "fourth")
}

func TestConsulACL(t *testing.T) {
	long(t)
	c := servers.Consul(t, servers.Options{ACL: true})
	w := newWeb(t, c)
	b := &bench{require.New(t), t, c, consul{w}}
	m := b.leader()
	b.put(m, "first")
	b.NoError(m.Restart())
	b.has(m, "first")
	w.token = ""
	status, _, err := w.do(t.Context(), "PUT", m.Endpoint()+"/v1/kv/second", "1")
	b.NoError(err)
	b.Equal(403, status)
}

// TestSettings hands servers settings of their own and sees that they obey.
func TestSettings(t *testing.T) {
	long(t)
	for name, c := range map[string]struct {
		start  func(testing.TB, servers.Options) *servers.Cluster
		with   servers.Options
		ask    string
		answer string
	}{
		"etcd": {servers.Etcd, servers.Options{Args: []string{"--quota-backend-bytes=12345678"}},
			"/metrics", "etcd_server_quota_backend_bytes 1.2345678e+07"},
		"consul": {servers.Consul, servers.Options{Config: []string{`session_ttl_min = "1s"`}},
			"/v1/agent/self", `"SessionTTLMin":"1s"`},
		"consul args": {servers.Consul, servers.Options{Args: []string{"-datacenter=here"}},
			"/v1/catalog/datacenters", `["here"]`},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := c.start(t, c.with)
			_, answer, err := newWeb(t, cluster).do(t.Context(), "GET", cluster.Endpoints()[0]+c.ask, "")
			require.NoError(t, err)
			require.Contains(t, answer, c.answer)
		})
	}
	t.Run("zookeeper", func(t *testing.T) {
		cluster := servers.ZooKeeper(t, servers.Options{
			Args:   []string{"-Dkvdb.test=here"},
			Config: []string{"minSessionTimeout=1234"},
		})
		conn, err := net.Dial("tcp", cluster.Endpoints()[0])
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "conf")
		require.NoError(t, err)
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(answer), "minSessionTimeout=1234\n")
	})
}
