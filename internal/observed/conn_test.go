package observed_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/observed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// event is the end of a connection, or its beginning.
type event struct {
	backend, endpoint string
	made              bool
	cause             error
}

// recorder is a hook that sends what it is told.
type recorder chan event

func (r recorder) OnConnectionMade(backend, endpoint string) {
	r <- event{backend, endpoint, true, nil}
}

func (r recorder) OnConnectionLost(backend, endpoint string, err error) {
	r <- event{backend, endpoint, false, err}
}

// next returns the next event, which must be one of the store at endpoint.
func (r recorder) next(t *testing.T, endpoint string, made bool) (cause error) {
	t.Helper()
	select {
	case e := <-r:
		require.Equal(t, event{"store", endpoint, made, e.cause}, e)
		return e.cause
	case <-time.After(time.Minute):
		require.FailNow(t, "nothing is told")
		return nil
	}
}

// listen returns a listener that the test closes.
func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Hooks are told who has ended a connection, once.
func TestConn(t *testing.T) {
	l := listen(t)
	told, hooks := recorder(make(chan event, 9)), &driver.Hooks{}
	hooks.Add(told)
	dial := func() (client net.Conn, server *net.TCPConn) {
		socket, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		server, err = l.AcceptTCP()
		require.NoError(t, err)
		client = observed.Conn(hooks, "store", l.Addr().String(), socket)
		require.NoError(t, told.next(t, l.Addr().String(), true))
		return client, server
	}
	for name, c := range map[string]struct {
		end  func(client net.Conn, server *net.TCPConn)
		want error
	}{
		"the server closes it": {func(client net.Conn, server *net.TCPConn) {
			require.NoError(t, server.Close())
			_, err := client.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
		}, io.EOF},
		"the server resets it": {func(client net.Conn, server *net.TCPConn) {
			require.NoError(t, server.SetLinger(0))
			require.NoError(t, server.Close())
			for {
				if _, err := client.Write([]byte("x")); err != nil {
					break
				}
			}
			_, err := client.Read(make([]byte, 1)) // a later error is not the cause
			require.Error(t, err)
		}, syscall.ECONNRESET},
		"the client closes it": {func(client net.Conn, server *net.TCPConn) {
			defer server.Close()
			read := make(chan error)
			go func() { _, err := client.Read(make([]byte, 1)); read <- err }()
			require.NoError(t, client.Close())
			require.ErrorIs(t, <-read, net.ErrClosed)
		}, nil},
	} {
		client, server := dial()
		c.end(client, server)
		_ = client.Close()
		require.ErrorIs(t, told.next(t, l.Addr().String(), false), c.want, name)
		_ = client.Close()
		require.Empty(t, told, name)
	}
}

// A transport tells the hooks about its connections, with and without TLS of its own.
func TestTransport(t *testing.T) {
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	for _, scheme := range []string{"http", "https"} {
		told, hooks := recorder(make(chan event, 9)), &driver.Hooks{}
		hooks.Add(told)
		dial := new(net.Dialer).DialContext
		transport := &http.Transport{DialContext: dial, DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, network, address)
		}}
		observed.Transport(hooks, "store", transport)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, scheme+"://"+l.Addr().String(), http.NoBody)
		require.NoError(t, err)
		_, err = transport.RoundTrip(request)
		require.Error(t, err)
		require.NoError(t, told.next(t, l.Addr().String(), true))
		told.next(t, l.Addr().String(), false)
	}
}

// A connection that cannot be made is not told.
func TestNoConnection(t *testing.T) {
	l := listen(t)
	require.NoError(t, l.Close())
	told, hooks := recorder(make(chan event, 9)), &driver.Hooks{}
	hooks.Add(told)
	transport := &http.Transport{DialContext: new(net.Dialer).DialContext}
	observed.Transport(hooks, "store", transport)
	_, err := transport.DialContext(t.Context(), "tcp", l.Addr().String())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.Empty(t, told)
}
