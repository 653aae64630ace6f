package etcdv3

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// patience is how long a test waits for something that must happen.
const patience = 30 * time.Second

// counter counts the requests that are sent, by method.
type counter struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *counter) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	c.mu.Lock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[method[strings.LastIndexByte(method, '/')+1:]]++
	c.mu.Unlock()
	return invoke(ctx, method, req, reply, cc, opts...)
}

// take returns the requests since the last call.
func (c *counter) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	c.counts = map[string]int{}
	return counts
}

// instance opens an instance that the end of the test closes.
func instance(t *testing.T, cluster *servers.Cluster, domain string, options map[string]string, more ...dialOption) kvdb.Kvdb {
	t.Helper()
	kv, err := newInstance(domain, cluster.Endpoints(), options, nil, more...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// raw returns a client of etcd's own library.
func raw(t *testing.T, cluster *servers.Cluster) *clientv3.Client {
	t.Helper()
	var endpoints []string
	for _, m := range cluster.All() {
		endpoints = append(endpoints, m.Direct())
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(), DialTimeout: patience})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// leases returns the number of leases on the server.
func leases(t *testing.T, client *clientv3.Client) int {
	t.Helper()
	reply, err := client.Leases(t.Context())
	require.NoError(t, err)
	return len(reply.Leases)
}

// eventually polls until condition holds. It is for conditions that no event reports.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-tick.C {
		require.True(t, time.Now().Before(deadline), what)
	}
}

// receive waits for an element of c.
func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited in vain for "+what)
		panic("not reached")
	}
}

// events watches a prefix and sends the events, and nil when the watch has ended.
func events(t *testing.T, kv kvdb.Kvdb, prefix string, after uint64) <-chan *kvdb.KVPair {
	t.Helper()
	c := make(chan *kvdb.KVPair, 100_000)
	require.NoError(t, kv.WatchTree(prefix, after, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		c <- pair
		if err != nil {
			return errors.New("over")
		}
		return nil
	}))
	return c
}

func contextWithTimeout(t *testing.T, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), limit)
}
