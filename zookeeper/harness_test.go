package zookeeper

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// patience is how long a test waits for something that must happen.
const patience = 40 * time.Second

// instance opens an instance that the end of the test closes.
func instance(t *testing.T, domain string, endpoints []string, options map[string]string) kvdb.Kvdb {
	t.Helper()
	kv, err := New(domain, endpoints, options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// raw is ZooKeeper's own client.
func raw(t *testing.T, m *servers.Member) *zk.Conn {
	t.Helper()
	conn, events, err := zk.Connect([]string{m.Direct()}, 10*time.Second, zk.WithLogger(silent{}))
	require.NoError(t, err)
	t.Cleanup(func() {
		conn.Close()
		for range events {
		}
	})
	return conn
}

// receive waits for an element, or for the end of a channel.
func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		require.FailNow(t, "waited in vain for "+what)
		panic("not reached")
	}
}

// events watches a prefix and sends what comes; nil when the watch is over.
func events(t *testing.T, kv kvdb.Kvdb, prefix string, after uint64) <-chan *kvdb.KVPair {
	t.Helper()
	c := make(chan *kvdb.KVPair, 100_000)
	require.NoError(t, kv.WatchTree(prefix, after, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		c <- pair
		return err
	}))
	return c
}

// names of the operations of ZooKeeper's protocol.
var names = map[uint32]string{
	1: "create", 2: "delete", 3: "exists", 4: "getData", 5: "setData", 9: "sync", 12: "getChildren", 14: "multi",
	19: "createContainer",
}

// observer stands between a client and a server, and sees the requests.
type observer struct {
	net.Listener
	target string
	done   sync.WaitGroup

	mu       sync.Mutex // protects what is below
	requests []string   // that have arrived
	conns    map[net.Conn]struct{}
	closed   bool
	// before is called for each request before it is passed on, unless nil.
	before func(operation string)
}

func observe(t *testing.T, m *servers.Member) *observer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o := &observer{Listener: l, target: m.Direct(), conns: map[net.Conn]struct{}{}}
	o.done.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			o.done.Go(func() { o.relay(client) })
		}
	})
	t.Cleanup(o.kill)
	return o
}

// kill ends all connections and takes no more.
func (o *observer) kill() {
	_ = o.Close()
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.sever()
	o.done.Wait()
}

// sever ends all connections.
func (o *observer) sever() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.conns {
		_ = c.Close()
	}
}

func (o *observer) track(c net.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conns[c] = struct{}{}
	return !o.closed
}

func (o *observer) relay(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", o.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !o.track(client) || !o.track(server) {
		return
	}
	o.done.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	for first := true; ; first = false {
		var head [4]byte
		if _, err := io.ReadFull(client, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if !first {
			o.see(body)
		}
		if _, err := server.Write(append(head[:], body...)); err != nil {
			return
		}
	}
}

func (o *observer) see(body []byte) {
	name, ok := names[binary.BigEndian.Uint32(body[4:])]
	if !ok || name == "exists" && binary.BigEndian.Uint32(body[8:]) == 1 {
		return // a ping, or "/" is asked for: to keep the session alive
	}
	o.mu.Lock()
	o.requests = append(o.requests, name)
	before := o.before
	o.mu.Unlock()
	if before != nil {
		before(name)
	}
}

// take returns the requests since the last call.
func (o *observer) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	requests := o.requests
	o.requests = nil
	return requests
}

// intercept makes f look at each request first.
func (o *observer) intercept(f func(operation string)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.before = f
}
