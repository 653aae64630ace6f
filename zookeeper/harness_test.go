package zookeeper

import (
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
	conn, events, err := zk.Connect([]string{m.Direct()}, 10*time.Second, zk.WithLogger(noLogger{}))
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

// events watches a prefix and sends its events, and nil when the watch is over.
func events(t *testing.T, kv kvdb.Kvdb, prefix string, after uint64) <-chan *kvdb.KVPair {
	t.Helper()
	c := make(chan *kvdb.KVPair, 100_000)
	require.NoError(t, kv.WatchTree(prefix, after, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		c <- pair
		return err
	}))
	return c
}

// noLogger discards what ZooKeeper's client logs.
type noLogger struct{}

func (noLogger) Printf(string, ...any) {}
