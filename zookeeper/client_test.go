package zookeeper

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// A client that is closed while its connection breaks, with requests on their
// way, ends.
func TestCloseWhileTheConnectionBreaks(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	for range 10 {
		o := observe(t, member)
		c, err := connect(clientConfig{
			servers: &addresses{all: []string{o.Addr().String()}}, sessionTimeout: sessionTimeout, told: func(zk.Event) {},
		}, nil)
		require.NoError(t, err)
		require.NoError(t, c.connected(t.Context()))
		var asking sync.WaitGroup
		begun := make(chan struct{}, 64)
		for range cap(begun) {
			asking.Go(func() {
				for first := true; c.ctx.Err() == nil; first = false {
					_, _, err := c.conn.Exists("/")
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
		c.mu.Lock()
		socket := c.socket
		c.mu.Unlock()
		go func() {
			defer close(closed)
			c.close()
		}()
		require.NoError(t, socket.Close()) // writes fail from now on
		receive(t, closed, "the end of the client")
		asking.Wait()
	}
}

// An instance asks a server that follows: one that leads may answer a read before
// it has applied what another one has acknowledged.
func TestConnectsToAFollower(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3})
	connected := func(s *store) string {
		s.main.mu.Lock()
		defer s.main.mu.Unlock()
		return s.main.socket.RemoteAddr().String()
	}
	old, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	stores := make([]*store, 6)
	for i := range stores {
		stores[i], err = open(cluster.Endpoints(), nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, stores[i].Close(context.Background())) }()
		require.NoError(t, stores[i].main.await(t.Context()))
		require.NotEqual(t, old.Endpoint(), connected(stores[i]))
	}
	require.NoError(t, old.Kill())
	for _, s := range stores {
		require.Eventually(t, func() bool {
			_, err := s.Put(t.Context(), driver.Write{Key: "key", Value: []byte("value")})
			return err == nil
		}, patience, 10*time.Millisecond)
	}
	leader, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	for _, s := range stores {
		require.NotEqual(t, leader.Endpoint(), connected(s))
	}
	// One that knows of no other server makes do with the leader.
	s, err := open([]string{leader.Endpoint(), old.Endpoint()}, nil)
	require.NoError(t, err)
	require.NoError(t, s.main.await(t.Context()))
	require.Equal(t, leader.Endpoint(), connected(s))
	require.NoError(t, s.Close(t.Context()))
}

// A server that follows is found in time also where others are silent.
func TestFollowerBesideSilentServers(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3})
	leads, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	all := []string{leads.Endpoint()}
	for range 2 { // the system accepts connections, and nobody answers
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
	c := &client{servers: &addresses{all: all}, failures: map[string]error{}}
	for range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), dialTimeout) // as dial does
		server, err := c.choose(ctx, leads.Endpoint())
		cancel()
		require.NoError(t, err)
		require.Equal(t, all[3], server, "not the leader")
	}
}

// A request whose caller has given up before is not sent.
func TestNothingIsSentAfterTheEnd(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	s, err := open([]string{member.Endpoint()}, nil)
	require.NoError(t, err)
	ended, end := context.WithCancel(t.Context())
	end()
	var sent atomic.Int32
	for range 1000 {
		require.Error(t, s.main.run(ended, func(*zk.Conn) error { sent.Add(1); return nil }))
	}
	require.NoError(t, s.Close(t.Context())) // by then all would have been sent
	require.Zero(t, sent.Load())
}
