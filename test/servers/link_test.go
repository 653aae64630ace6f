package servers

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echoLink is a link to a server that sends everything back, and its address.
func echoLink(t *testing.T) (*Link, string) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := server.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer client.Close()
				_, _ = io.Copy(client, client) // until either side ends it
			})
		}
	})

	var p ports
	port, err := p.reserve()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	l := newLink()
	l.front = &acceptor{addr: address(loopback, port), wg: &wg, serve: func(client net.Conn) {
		l.carry(ctx, client, server.Addr().String(), nil)
	}}
	require.NoError(t, l.setUp(true))
	t.Cleanup(func() {
		cancel()
		require.NoError(t, l.setUp(false))
		require.NoError(t, server.Close())
		require.NoError(t, p.close())
		wg.Wait()
	})
	return l, l.front.addr
}

func dial(t *testing.T, addr string) net.Conn {
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn
}

// echo sends a text and waits until it is back.
func echo(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(conn, text)
	require.NoError(t, err)
	received(t, conn, text)
}

func received(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	back := make([]byte, len(text))
	_, err := io.ReadFull(conn, back)
	require.NoError(t, err)
	require.Equal(t, text, string(back))
}

func TestLinkPasses(t *testing.T) {
	_, addr := echoLink(t)
	conn := dial(t, addr)
	echo(t, conn, "hello")
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	rest, err := io.ReadAll(conn)
	require.NoError(t, err, "the end of one side reaches the other, and comes back")
	require.Empty(t, rest)
}

func TestLinkCut(t *testing.T) {
	l, addr := echoLink(t)
	conn := dial(t, addr)
	echo(t, conn, "before")
	require.NoError(t, l.Cut())
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = net.Dial("tcp", addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, l.Cut(), "again")
	require.NoError(t, l.Heal())
	echo(t, dial(t, addr), "after")
}

func TestLinkBlackhole(t *testing.T) {
	l, addr := echoLink(t)
	old := dial(t, addr)
	echo(t, old, "before")
	require.NoError(t, l.Blackhole())
	fresh := dial(t, addr)
	for _, conn := range []net.Conn{old, fresh} {
		_, err := io.WriteString(conn, "meanwhile")
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	require.NoError(t, l.Heal())
	for _, conn := range []net.Conn{old, fresh} {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		received(t, conn, "meanwhile")
		echo(t, conn, "after")
	}

	// Data that is held back can be cut off.
	require.NoError(t, l.Blackhole())
	_, err := io.WriteString(old, "lost")
	require.NoError(t, err)
	require.NoError(t, l.Cut())
	_, err = old.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestLinkDelay(t *testing.T) {
	const delay = 500 * time.Millisecond // much, for a slow machine
	l, addr := echoLink(t)
	conn := dial(t, addr)
	l.Delay(delay)
	start := time.Now()
	echo(t, conn, "slow")
	require.GreaterOrEqual(t, time.Since(start), 2*delay, "there and back")
	l.Delay(0)
	start = time.Now()
	echo(t, conn, "quick")
	require.Less(t, time.Since(start), 2*delay)
}

func TestLinkToADeadServer(t *testing.T) {
	l, addr := echoLink(t)
	require.NoError(t, l.setUp(false))
	_, err := net.Dial("tcp", addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, l.Cut())
	require.NoError(t, l.setUp(true))
	_, err = net.Dial("tcp", addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "a link stays cut when its server comes back")
	require.NoError(t, l.Heal())
	echo(t, dial(t, addr), "after")
}

func TestReservedPorts(t *testing.T) {
	var p, q ports
	seen := map[int]bool{}
	for range 200 {
		for _, holder := range []*ports{&p, &q} {
			port, err := holder.reserve()
			require.NoError(t, err)
			require.False(t, seen[port], "port %d twice", port)
			seen[port] = true
			l, err := net.Listen("tcp", address(loopback, port))
			require.NoError(t, err, "whoever holds a port can use it")
			require.NoError(t, l.Close())
		}
	}
	require.NoError(t, p.close())
	require.NoError(t, q.close())
}
