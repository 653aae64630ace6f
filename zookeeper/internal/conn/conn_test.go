package conn

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb/internal/settings"
	"github.com/portworx/kvdb/test/servers"
)

// patience is how long a test waits for something that must happen.
const patience = 40 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serversAt returns the servers with those addresses.
func serversAt(t *testing.T, addresses ...string) *Servers {
	t.Helper()
	parsed, err := settings.ZooKeeper.Replace(addresses, false)
	require.NoError(t, err)
	s := &Servers{}
	s.Set(parsed)
	return s
}

// connectTo returns a Conn to one of those servers.
func connectTo(t *testing.T, addresses ...string) *Conn {
	t.Helper()
	c, err := Open(Config{
		Servers: serversAt(t, addresses...), SessionTimeout: 20 * time.Second, MaxRequest: 128 << 10, OnEvent: func(zk.Event) {},
	})
	require.NoError(t, err)
	return c
}

// socket returns the last connection of c.
func (c *Conn) socket() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tap
}

// A client that is closed while its connection breaks and requests are under
// way ends.
func TestCloseWhileTheConnectionBreaks(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	for range 10 {
		c := connectTo(t, member.Endpoint())
		require.NoError(t, c.Ready(t.Context()))
		var asking sync.WaitGroup
		begun := make(chan struct{}, 64)
		for range cap(begun) {
			asking.Go(func() {
				for first := true; c.ctx.Err() == nil; first = false {
					_, _, err := c.client.Exists("/")
					if first {
						begun <- struct{}{}
					}
					if err == zk.ErrConnectionClosed || err == zk.ErrClosing {
						time.Sleep(time.Millisecond) // it is over, or will be
					}
				}
			})
		}
		for range cap(begun) {
			receive(t, begun, "requests")
		}
		closed := make(chan struct{})
		socket := c.socket()
		go func() {
			defer close(closed)
			c.Close()
		}()
		require.NoError(t, socket.Close()) // writes fail from now on
		receive(t, closed, "the end of the client")
		asking.Wait()
	}
}

// receive waits for an element, or for the end of a channel.
func receive(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		require.FailNow(t, "waited in vain for "+what)
	}
}

// A Conn prefers a follower, because the leader may answer a read before it has
// applied what a follower has acknowledged.
func TestConnectsToAFollower(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3})
	old, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	conns := make([]*Conn, 6)
	for i := range conns {
		conns[i] = connectTo(t, cluster.Endpoints()...)
		defer conns[i].Close()
		require.NoError(t, conns[i].Ready(t.Context()))
		require.NotEqual(t, old.Endpoint(), conns[i].socket().RemoteAddr().String())
	}
	require.NoError(t, old.Kill())
	for _, c := range conns {
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			return c.Run(ctx, func(c *zk.Conn) error {
				_, err := c.Create("/key", []byte("value"), zk.FlagPersistent, zk.WorldACL(zk.PermAll))
				if errors.Is(err, zk.ErrNodeExists) {
					_, err = c.Set("/key", []byte("value"), -1)
				}
				return err
			}) == nil
		}, patience, 10*time.Millisecond)
	}
	leader, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	for _, c := range conns {
		require.NotEqual(t, leader.Endpoint(), c.socket().RemoteAddr().String())
	}
	// A Conn that has no other server uses the leader.
	c := connectTo(t, leader.Endpoint(), old.Endpoint())
	defer c.Close()
	require.NoError(t, c.Ready(t.Context()))
	require.Equal(t, leader.Endpoint(), c.socket().RemoteAddr().String())
}

// A follower is found in time although other servers are silent.
func TestFollowerBesideSilentServers(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3})
	leads, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	all := []string{leads.Endpoint()}
	for range 2 { // the kernel accepts connections, and nobody answers
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	for _, m := range cluster.All() {
		if m != leads {
			all = append(all, m.Endpoint())
			break
		}
	}
	c := &Conn{cfg: Config{Servers: serversAt(t, all...)}, failures: map[string]string{}}
	for range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), dialTimeout) // as dial does
		server, err := c.choose(ctx, leads.Endpoint())
		cancel()
		require.NoError(t, err)
		require.Equal(t, all[3], server, "not the leader")
	}
}

// A request is not sent after its caller has given up.
func TestNothingIsSentAfterTheEnd(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	c := connectTo(t, member.Endpoint())
	require.NoError(t, c.Ready(t.Context()))
	ended, end := context.WithCancel(t.Context())
	end()
	var sent atomic.Int32
	for range 1000 {
		require.Error(t, c.Run(ended, func(*zk.Conn) error { sent.Add(1); return nil }))
	}
	c.Close() // by then all would have been sent
	require.Zero(t, sent.Load())
}

// A tracker has the zxid of the reply to a create, which ZooKeeper's client does not return.
func TestTrackZxid(t *testing.T) {
	c := connectTo(t, servers.ZooKeeper(t, servers.Options{}).All()[0].Endpoint())
	defer c.Close()
	require.NoError(t, c.Ready(t.Context()))
	tracker, other := c.TrackZxid("/key"), c.TrackZxid("/other")
	defer tracker.Stop()
	defer other.Stop()
	var stat *zk.Stat
	require.NoError(t, c.Run(t.Context(), func(c *zk.Conn) (err error) {
		_, err = c.Create("/key", []byte("value"), zk.FlagPersistent, zk.WorldACL(zk.PermAll))
		return err
	}))
	created := tracker.Zxid()
	tracker.Reset()
	require.Zero(t, tracker.Zxid())
	require.NoError(t, c.Run(t.Context(), func(c *zk.Conn) (err error) {
		_, stat, err = c.Exists("/key")
		return err
	}))
	require.Equal(t, stat.Czxid, created)
	require.Equal(t, created, tracker.Zxid(), "there was no other write")
	require.Equal(t, created, c.Zxid())
	require.Zero(t, other.Zxid())
}

// A renewed Conn has another session, and reports that the old one is over.
func TestRenew(t *testing.T) {
	expired := make(chan struct{}, 1)
	c, err := Open(Config{
		Servers:        serversAt(t, servers.ZooKeeper(t, servers.Options{}).All()[0].Endpoint()),
		SessionTimeout: 20 * time.Second, MaxRequest: 128 << 10,
		OnEvent: func(e zk.Event) {
			if e.State == zk.StateExpired {
				expired <- struct{}{}
			}
		},
	})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Ready(t.Context()))
	require.NoError(t, c.StartSync().Wait(t.Context()))
	session, connections := c.Client().SessionID(), c.Connections()
	c.Renew()
	receive(t, expired, "the end of the session")
	require.Eventually(t, func() bool { return c.StartSync().Wait(t.Context()) == nil }, patience, time.Millisecond)
	require.NotEqual(t, session, c.Client().SessionID())
	require.Greater(t, c.Connections(), connections)
}
