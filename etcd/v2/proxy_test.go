package etcdv2

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/test/servers"
)

// newProxy returns the endpoint of an HTTP proxy before a cluster. Without keepAlive it closes
// each connection after one answer.
func newProxy(t *testing.T, cluster *servers.Cluster, keepAlive bool) string {
	t.Helper()
	target, err := url.Parse(cluster.Endpoints()[0])
	require.NoError(t, err)
	way, transport := httputil.NewSingleHostReverseProxy(target), &http.Transport{}
	way.Transport = transport
	proxy := httptest.NewUnstartedServer(way)
	proxy.Config.SetKeepAlivesEnabled(keepAlive)
	proxy.Start()
	t.Cleanup(func() {
		proxy.Close()
		transport.CloseIdleConnections()
	})
	return proxy.URL
}

// instanceAt opens an instance at an endpoint that the end of the test closes.
func instanceAt(t *testing.T, endpoint string, wrap wrapper) kvdb.Kvdb {
	t.Helper()
	kv, err := newInstance("d", []string{endpoint}, nil, nil, wrap)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// A watch begins behind a proxy that closes connections, and has the events before and after
// it began.
func TestWatchWithoutKeepAlive(t *testing.T) {
	t.Parallel()
	cluster, index := servers.Etcd35(t, servers.Options{}), index(t)
	kv := instanceAt(t, newProxy(t, cluster, false), nil)
	first := index(kv.Put("dir/key", "first", 0))
	second := index(kv.Put("dir/key", "second", 0))
	present, past := watch(t, kv, "dir/", 0), watch(t, kv, "dir/", first)
	require.Equal(t, event(kvdb.KVSet, "dir/key", second), receive(t, past))
	third := index(kv.Put("dir/key", "third", 0))
	for _, events := range []<-chan watchCall{present, past} {
		require.Equal(t, event(kvdb.KVSet, "dir/key", third), receive(t, events))
	}
	_, at, err := kv.Snapshot([]string{"dir/"}, true)
	require.NoError(t, err)
	require.GreaterOrEqual(t, at, third)
}

// A client that waits for a lock behind a proxy that closes connections looks at the lock
// again and again, but not more often than after a failure.
func TestLockWithoutKeepAlive(t *testing.T) {
	t.Parallel()
	cluster, n := servers.Etcd35(t, servers.Options{}), &network{}
	holder := instance(t, cluster, "d", nil, nil)
	lock, err := holder.Lock("lock")
	require.NoError(t, err)
	kv := instanceAt(t, newProxy(t, cluster, false), n.wrap)
	_, err = kv.LockWithTimeout("lock", "waiter", 2*time.Second, 0)
	require.ErrorIs(t, err, kvdb.ErrExist)
	// The waits between the looks are at least 10, 20, 40, 80, 160, 320 ms, and then 250 ms.
	require.Less(t, n.count(waits), 16)
	obtained := lockLater(kv, "lock")
	require.NoError(t, holder.Unlock(lock))
	require.NoError(t, receive(t, obtained))
}

// A watch that cannot begin ends after the time limit of calls.
func TestWatchBeginsInTime(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{})
	s, err := open("d", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	s.pool.history.verifying <- struct{}{} // as when another watch waits for a majority
	defer func() { <-s.pool.history.verifying }()
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, err := s.watch(ctx, driver.WatchRequest{Key: "d/dir/", Prefix: true})
		ended <- err
	}()
	require.ErrorIs(t, receive(t, ended), kvdb.ErrNoConnection)
}
