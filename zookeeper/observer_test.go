package zookeeper

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test/servers"
)

// operations are the names of operations by their numbers in ZooKeeper's protocol.
var operations = map[uint32]string{
	1: "create", 2: "delete", 3: "exists", 4: "getData", 5: "setData", 9: "sync", 12: "getChildren", 14: "multi",
	19: "createContainer",
}

// traffic is a request of a client, or an event that it receives.
type traffic struct {
	conn            int // number of the connection, from 1
	operation, path string
}

const event = "event" // an operation

// observer stands between clients and a server.
type observer struct {
	net.Listener
	done sync.WaitGroup

	mu       sync.Mutex // protects what is below
	target   string     // the server's address
	requests []traffic  // that have arrived
	accepted int        // connections so far
	conns    map[net.Conn]struct{}
	closed   bool
	// before is called for each request. The request is passed on at once if the
	// channel is nil, and otherwise when the channel is closed. Later requests may
	// overtake it.
	before func(traffic) <-chan struct{}
	// after is called for each reply and each event before it is passed on.
	after func(traffic)
}

func observe(t *testing.T, m *servers.Member) *observer { return observeAt(t, m.Direct()) }

func observeAt(t *testing.T, target string) *observer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o := &observer{Listener: l, target: target, conns: map[net.Conn]struct{}{}}
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

// kill ends all connections and accepts no more.
func (o *observer) kill() {
	_ = o.Close()
	o.cut(true)
	o.done.Wait()
}

// cut ends all connections. While lasts is true, it also ends each new connection.
func (o *observer) cut(lasts bool) {
	o.mu.Lock()
	o.closed = lasts
	o.mu.Unlock()
	o.sever()
}

// lead makes the observer relay to another server.
func (o *observer) lead(target string) {
	o.mu.Lock()
	o.target = target
	o.mu.Unlock()
	o.sever()
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

func (o *observer) forget(c net.Conn) {
	_ = c.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, c)
}

// relayed is a connection through an observer.
type relayed struct {
	o              *observer
	number         int
	client, server net.Conn

	mu    sync.Mutex         // protects asked, and writes to server
	asked map[uint32]traffic // by number, not answered yet
}

func (o *observer) relay(client net.Conn) {
	defer o.forget(client)
	o.mu.Lock()
	target := o.target
	o.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer o.forget(server)
	if !o.track(client) || !o.track(server) {
		return
	}
	begin := make([]byte, 4)
	if _, err := io.ReadFull(client, begin); err != nil {
		return
	}
	if string(begin) == "srvr" { // a command, whose answer is text
		if _, err := server.Write(begin); err == nil {
			_, _ = io.Copy(client, server)
		}
		return
	}
	r := &relayed{o: o, client: client, server: server, asked: map[uint32]traffic{}}
	o.mu.Lock()
	o.accepted++
	r.number = o.accepted
	o.mu.Unlock()
	var postponed sync.WaitGroup
	defer postponed.Wait()
	o.done.Go(func() {
		defer client.Close()
		defer server.Close()
		messages(server, func(first bool, message []byte) error {
			if !first {
				r.reply(message[4:])
			}
			_, err := client.Write(message)
			return err
		})
	})
	over := make(chan struct{})
	defer close(over)
	messages(io.MultiReader(bytes.NewReader(begin), client), func(first bool, message []byte) error {
		if first {
			return r.send(message)
		}
		wait := r.see(message[4:])
		if wait == nil {
			return r.send(message)
		}
		postponed.Go(func() {
			select {
			case <-wait:
				_ = r.send(message)
			case <-over:
			}
		})
		return nil
	})
}

// messages reads messages until one, or what f does with it, fails.
func messages(from io.Reader, f func(first bool, message []byte) error) {
	for first := true; ; first = false {
		message := make([]byte, 4)
		if _, err := io.ReadFull(from, message); err != nil {
			return
		}
		message = append(message, make([]byte, binary.BigEndian.Uint32(message))...)
		if _, err := io.ReadFull(from, message[4:]); err != nil {
			return
		}
		if f(first, message) != nil {
			return
		}
	}
}

func (r *relayed) send(message []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.server.Write(message)
	return err
}

// text reads a string.
func text(b []byte) string {
	if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return ""
	}
	return string(b[4:][:binary.BigEndian.Uint32(b)])
}

func (r *relayed) see(body []byte) <-chan struct{} {
	q := traffic{r.number, operations[binary.BigEndian.Uint32(body[4:])], text(body[8:])}
	if q.operation == "" || q.path == "/" && (q.operation == "sync" || q.operation == "exists") {
		return nil // a ping, or what keeps the session alive
	}
	r.mu.Lock()
	r.asked[binary.BigEndian.Uint32(body)] = q
	r.mu.Unlock()
	r.o.mu.Lock()
	r.o.requests = append(r.o.requests, q)
	before := r.o.before
	r.o.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(q)
}

func (r *relayed) reply(body []byte) {
	const notification = 1<<32 - 1
	xid := binary.BigEndian.Uint32(body)
	r.mu.Lock()
	q, known := r.asked[xid]
	delete(r.asked, xid)
	r.mu.Unlock()
	if xid == notification {
		q, known = traffic{r.number, event, text(body[24:])}, true
	}
	r.o.mu.Lock()
	after := r.o.after
	r.o.mu.Unlock()
	if known && after != nil {
		after(q)
	}
}

// take returns the operations on the first connection since the last call. An
// instance uses its first connection for calls and the second one for watches.
func (o *observer) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var taken []string
	for _, q := range o.requests {
		if q.conn == 1 {
			taken = append(taken, q.operation)
		}
	}
	o.requests = nil
	return taken
}

// intercept sets before and after. Either may be nil.
func (o *observer) intercept(before func(traffic) <-chan struct{}, after func(traffic)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.before, o.after = before, after
}
