package zookeeper

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// silentServer accepts connections and says nothing.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l.Addr().String()
}

// webServer answers everything as a web server does.
func webServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var answering sync.WaitGroup
	answering.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 100))
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		answering.Wait()
	})
	return l.Addr().String()
}

// New fails in time, with an error that names the cause.
func TestNewNamesTheCause(t *testing.T) {
	gone := silentServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing := l.Addr().String()
	require.NoError(t, l.Close())
	plain, secure := webServer(t), httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	tls := map[string]string{kvdb.TransportScheme: "https"}
	login := map[string]string{kvdb.UsernameKey: "user", kvdb.PasswordKey: "password"}
	for name, c := range map[string]struct {
		endpoints []string
		options   map[string]string
		want      string
	}{
		"refused":             {[]string{refusing}, nil, "connection refused"},
		"refused, login":      {[]string{refusing}, login, "connection refused"},
		"no such name":        {[]string{"no-such-host.invalid:2181"}, nil, "no-such-host.invalid"},
		"HTTP":                {[]string{plain}, nil, "does not speak ZooKeeper's protocol"},
		"unknown certificate": {[]string{secure.Listener.Addr().String()}, tls, "certificate"},
		"no TLS":              {[]string{plain}, tls, "tls"},
		"silent":              {[]string{gone}, nil, "timeout"},
		"silent and refused":  {[]string{gone, refusing}, nil, "connection refused"},
		"silent TLS, login":   {[]string{gone}, map[string]string{kvdb.TransportScheme: "https", kvdb.UsernameKey: "user", kvdb.PasswordKey: "password"}, gone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			began := time.Now()
			_, err := New("d", c.endpoints, c.options, nil)
			took := time.Since(began)
			t.Log(took, err)
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
			require.ErrorContains(t, err, c.want)
			require.Less(t, took, 10*time.Second)
		})
	}
}

// New finds a server that answers although others are silent.
func TestNewBesideSilentServers(t *testing.T) {
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	var endpoints []string
	for range 4 {
		endpoints = append(endpoints, silentServer(t))
	}
	endpoints = append(endpoints, member.Endpoint())
	for range 5 {
		began := time.Now()
		kv := instance(t, "d", endpoints, nil)
		_, err := kv.Put("key", "value", 0)
		require.NoError(t, err)
		require.Less(t, time.Since(began), 5*time.Second)
	}
}
