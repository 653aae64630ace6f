package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
)

const patience = 30 * time.Second

// The daemon is ready while its store answers, and lives on when it does not.
func TestProbes(t *testing.T) {
	member := servers.Etcd(t, servers.Options{}).All()[0]
	kv, err := etcdv3.New("health", []string{member.Endpoint()}, nil, nil)
	require.NoError(t, err)
	defer kvdb.Close(kv)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, kv, listener) }()

	require.Equal(t, http.StatusOK, status(t, listener, "/livez"))
	require.Equal(t, http.StatusOK, status(t, listener, "/readyz"))
	require.NoError(t, member.Kill())
	require.Equal(t, http.StatusServiceUnavailable, status(t, listener, "/readyz"))
	require.Equal(t, http.StatusOK, status(t, listener, "/livez"))
	require.NoError(t, member.Start())
	for deadline := time.Now().Add(patience); status(t, listener, "/readyz") != http.StatusOK; {
		require.True(t, time.Now().Before(deadline), "the daemon must be ready again")
	}
	stop()
	require.NoError(t, <-served)
}

func status(t *testing.T, listener net.Listener, path string) int {
	t.Helper()
	reply, err := http.Get("http://" + listener.Addr().String() + path)
	require.NoError(t, err)
	defer reply.Body.Close()
	_, err = io.Copy(io.Discard, reply.Body)
	require.NoError(t, err)
	return reply.StatusCode
}
