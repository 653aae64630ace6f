package zookeeper

import (
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

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
