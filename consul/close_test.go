package consul

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Close during the election of a leader continues until the locks are released.
func TestCloseDuringElection(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{Members: 3})
	kv, err := New("close", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	other := open(t, "close", cluster.Endpoints(), nil)
	_, err = kv.Lock("key")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), await)
	defer cancel()
	leader, err := cluster.Leader(ctx)
	require.NoError(t, err)
	require.NoError(t, leader.Kill())
	require.NoError(t, kvdb.Close(kv))
	pair, err := other.LockWithTimeout("key", "other", 5*time.Second, 0)
	require.NoError(t, err, "the lock is still held")
	require.NoError(t, other.Unlock(pair))
}

// Close of an instance whose server has failed returns in time and names the locks that
// remain held.
func TestCloseWithoutServer(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	kv, err := New("close", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	_, err = kv.Put("value", "value", 0)
	require.NoError(t, err)
	for _, key := range []string{"one", "two"} {
		_, err = kv.Lock(key)
		require.NoError(t, err)
	}
	free, err := kv.Lock("free")
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(free))
	require.NoError(t, cluster.All()[0].Pause())
	began := time.Now()
	err = kvdb.Close(kv)
	require.Less(t, time.Since(began), 11*time.Second)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.ErrorContains(t, err, `["close/one" "close/two"]`)
	require.NoError(t, cluster.All()[0].Resume())
}

// New finds an endpoint that serves although others do not answer.
func TestNewWithSilentEndpoints(t *testing.T) {
	t.Parallel()
	cluster := servers.Consul(t, servers.Options{})
	var endpoints []string
	for range 4 {
		silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
		require.NoError(t, err)
		defer silent.Close()
		endpoints = append(endpoints, silent.Addr().String())
	}
	began := time.Now()
	kv := open(t, "silent", append(endpoints, cluster.Endpoints()...), nil)
	require.Less(t, time.Since(began), 5*time.Second)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)

	// When all fail, New returns an error with the causes in time.
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, refused.Close())
	began = time.Now()
	_, err = New("silent", []string{endpoints[0], refused.Addr().String()}, nil, nil)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.ErrorContains(t, err, "connection refused")
	require.Less(t, time.Since(began), 11*time.Second)
}
