package servers_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
)

func TestServer(t *testing.T) {
	long(t)
	c := servers.Etcd(t, servers.Options{Members: 3})
	b := &bench{require.New(t), t, c, etcd{newWeb(t, c)}}
	var s test.Server = c.Server()
	b.Equal(3, s.Members())
	m := c.All()[1]
	b.NoError(s.Kill(1))
	b.False(m.Running())
	b.NoError(s.Start(1))
	b.put(m, "started")
	b.NoError(s.Stop(1))
	b.False(m.Running())
	b.NoError(s.Start(1))
	b.NoError(s.Pause(1))
	b.stuck(m.Endpoint())
	b.NoError(s.Resume(1))
	b.put(m, "resumed")
	b.NoError(s.Isolate(1))
	b.stuck(m.Endpoint())
	b.NoError(s.Rejoin(1))
	b.put(m, "rejoined")
	b.has(c.All()[0], "rejoined")
}
