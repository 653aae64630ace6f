package servers_test

import (
	"fmt"
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

// When Rejoin returns, the member is one of those that serve, so that another one can be
// isolated.
func TestServerRejoins(t *testing.T) {
	each(t, servers.Options{Members: 3}, func(b *bench) {
		s, all := b.c.Server(), b.c.All()
		for i := range all {
			b.NoError(s.Isolate(i))
			other := b.leaderBut(all[i])
			b.put(other, fmt.Sprint("without ", i))
			b.NoError(s.Rejoin(i))
			b.NoError(b.tryPut(4*glimpse, all[i].Direct(), fmt.Sprint("with ", i)))
		}
	})
}
