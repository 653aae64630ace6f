package conn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/settings"
	"github.com/portworx/kvdb/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a Conn, and a context that ends before the test closes it.
func open(t *testing.T, endpoints ...string) (context.Context, *conn.Conn) {
	t.Helper()
	read, err := settings.Consul.Read(endpoints, nil)
	require.NoError(t, err)
	c, err := conn.New(conn.Config{Settings: read}, func(ctx context.Context, client *api.Client) error {
		_, _, err := client.KV().Get(conn.PingKey, conn.Consistent(ctx))
		return err
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(func() {
		cancel()
		c.Close()
	})
	return ctx, c
}

// write sets a key.
func write(ctx context.Context, c *conn.Conn) error {
	set := &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "key", Value: []byte("value")}}
	_, err := c.Txn(ctx, conn.Once, api.TxnOps{set})
	return err
}

// read reads a key.
func read(ctx context.Context, c *conn.Conn) error {
	pair, _, err := conn.Query(ctx, c, false, func(client *api.Client, q *api.QueryOptions) (*api.KVPair, *api.QueryMeta, error) {
		return client.KV().Get("key", q)
	})
	if err == nil && pair == nil {
		err = errors.New("the key does not exist")
	}
	return err
}

// block makes blocking queries for a key that does not exist until one fails, and
// returns its error.
func block(ctx context.Context, c *conn.Conn) error {
	for index := uint64(1); ; {
		err := c.Block(ctx, func(ctx context.Context, client *api.Client) error {
			q := conn.Consistent(ctx)
			q.WaitIndex, q.WaitTime = index, conn.MaxWait
			_, meta, err := client.KV().Get("none", q)
			if err == nil {
				index = meta.LastIndex
			}
			return err
		})
		if err != nil {
			return err
		}
	}
}

// Another endpoint answers when one refuses connections, is busy or fails.
func TestFailOver(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{})
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, refusing.Close())
	ctx, c := open(t, refusing.Addr().String(), cluster.Endpoints()[0])
	require.NoError(t, write(ctx, c))
	for _, reply := range []struct {
		code int
		body string
	}{
		{http.StatusTooManyRequests, "rate limit exceeded"},
		{http.StatusServiceUnavailable, "rate limit exceeded"},
		{http.StatusInternalServerError, "No cluster leader"},
		{http.StatusInternalServerError, "rpc error making call: raft apply failed: node is not the leader"},
	} {
		var refused atomic.Int32
		failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			refused.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(reply.code)
			_, _ = io.WriteString(w, reply.body)
		}))
		ctx, c := open(t, failing.URL, cluster.Endpoints()[0])
		require.NoError(t, write(ctx, c), reply)
		require.NoError(t, read(ctx, c), reply)
		require.EqualValues(t, 1, refused.Load(), "requests to the endpoint that failed")
		failing.Close()
	}
}

// An endpoint that does not answer at all costs a read a few seconds, once.
func TestSilentEndpoint(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{Members: 3})
	ctx, c := open(t, cluster.Endpoints()...)
	require.NoError(t, write(ctx, c))
	silent := cluster.All()[0]
	require.NoError(t, silent.Clients().Blackhole())
	began := time.Now()
	require.NoError(t, read(ctx, c))
	require.Less(t, time.Since(began), call.AttemptTimeout+4*time.Second)
	began = time.Now()
	require.NoError(t, write(ctx, c))
	require.Less(t, time.Since(began), 5*time.Second)
	require.NoError(t, silent.Clients().Heal())
}

// A blocking query ends when it is interrupted, when its endpoint does not answer
// probes any more, and when its context ends.
func TestBlock(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{})
	ctx, c := open(t, cluster.Endpoints()...)
	ended := make(chan error, 1)
	start := func(ctx context.Context) {
		go func() { ended <- block(ctx, c) }()
		// The index of a key that does not exist moves with every write.
		require.NoError(t, write(ctx, c))
	}

	start(ctx)
	var err error
	for done := false; !done; {
		c.Interrupt()
		select {
		case err = <-ended:
			done = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	require.Equal(t, conn.ErrLookAgain, err)

	start(ctx)
	require.NoError(t, cluster.All()[0].Clients().Blackhole())
	require.ErrorIs(t, <-ended, kvdb.ErrNoConnection)
	require.NoError(t, cluster.All()[0].Clients().Heal())
	require.NoError(t, c.Recover(ctx, time.Minute))

	limited, cancel := context.WithCancel(ctx)
	start(limited)
	cancel()
	err = <-ended
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, kvdb.ErrNoConnection)
}

// A transaction that Consul does not apply says which operation failed, and one that
// is too large is not sent.
func TestConflict(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{})
	ctx, c := open(t, cluster.Endpoints()...)
	require.NoError(t, write(ctx, c))
	absent := &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: "key"}}
	get := &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "key"}}
	pairs, err := c.Txn(ctx, conn.Once, api.TxnOps{get})
	require.NoError(t, err)
	require.Equal(t, "value", string(pairs[0].Value))
	_, err = c.Txn(ctx, conn.Once, api.TxnOps{get, absent})
	require.True(t, conn.IsConflict(err), err)
	require.ErrorContains(t, err, "operation 1 of the transaction failed")
	many := make(api.TxnOps, conn.MaxOps+1)
	for i := range many {
		many[i] = get
	}
	_, err = c.Txn(ctx, conn.Once, many)
	require.ErrorIs(t, err, kvdb.ErrTooLarge)
}
