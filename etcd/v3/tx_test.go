package etcdv3

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A transaction that only reads does not commit at a member that has missed a change
// of a key that was read.
func TestReadOnlyTransactionIsNotStale(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Members: 3})
	leader, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	behind := cluster.All()[0]
	if behind == leader {
		behind = cluster.All()[1]
	}
	kv, err := New("d", []string{behind.Endpoint()}, nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	other, err := New("d", []string{leader.Endpoint()}, nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(other)) }()
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	_, err = tx.Get("key")
	require.NoError(t, err)

	require.NoError(t, behind.Peers().Blackhole())
	_, err = other.Put("key", "changed", 0)
	require.NoError(t, err)
	require.Error(t, tx.Commit())
	require.NoError(t, behind.Peers().Heal())
}

// A request over the limits of a server whose limits are lower than the defaults is
// ErrTooLarge. Nothing of it is written, and the connection stays open.
func TestServerLimits(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--max-txn-ops=4", "--max-request-bytes=65536"}})
	requests := &counter{}
	kv := instance(t, cluster, "d", nil, grpc.WithChainUnaryInterceptor(requests.intercept))
	requests.take()
	_, err := kv.Put("large", strings.Repeat("x", 100<<10), 0)
	require.ErrorIs(t, err, kvdb.ErrTooLarge)
	_, err = kv.Put("ttl", strings.Repeat("x", 100<<10), 60)
	require.ErrorIs(t, err, kvdb.ErrTooLarge)
	commit := func(keys, size int) error {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for i := range keys {
			_, err := tx.Put(fmt.Sprint("tx/", i), strings.Repeat("x", size), 0)
			require.NoError(t, err)
		}
		return tx.Commit()
	}
	require.ErrorIs(t, commit(5, 1), kvdb.ErrTooLarge)
	require.ErrorIs(t, commit(4, 20<<10), kvdb.ErrTooLarge)
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Empty(t, pairs)
	require.NoError(t, commit(4, 1))
	client := raw(t, cluster)
	eventually(t, "the lease of a write that failed stays", func() bool { return leases(t, client) == 0 })
	require.Equal(t, map[string]int{"LeaseGrant": 1, "LeaseRevoke": 1, "Txn": 5, "Range": 1}, requests.take(), "nothing is sent twice")
}

// A request within the limits of a server whose limits are higher than the defaults
// succeeds. The error of a larger request is the server's.
func TestHigherServerLimits(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Args: []string{"--max-txn-ops=1024", "--max-request-bytes=4194304"}})
	kv := instance(t, cluster, "d", nil)
	large := strings.Repeat("x", 5<<20)
	const some = 1_900_000 // bytes; etcd's client sends 2 MiB by default
	for _, size := range []int{some, 4<<20 - 4<<10} {
		for _, ttl := range []uint64{0, 60} {
			_, err := kv.Put("large", large[:size], ttl)
			require.NoError(t, err)
			pair, err := kv.Get("large")
			require.NoError(t, err)
			require.Len(t, pair.Value, size)
		}
		_, err := kv.CompareAndSet(&kvdb.KVPair{Key: "large", Value: []byte(large[:size])}, 0, []byte(large[:size]))
		if size == some { // the previous value is in the request, too
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, kvdb.ErrTooLarge)
		}
	}
	snapshot, _, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	pair, err := snapshot.Get("large")
	require.NoError(t, err)
	_, err = kv.CompareAndDelete(pair, 0)
	require.NoError(t, err)
	_, err = kv.Put("large", large, 0)
	require.ErrorIs(t, err, kvdb.ErrTooLarge)

	fill := func(keys int) kvdb.Tx {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for i := range keys {
			_, err := tx.Put(fmt.Sprint("tx/", i), large[:some/500], 0)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Prepare())
		return tx
	}
	require.ErrorIs(t, fill(1025).Commit(), kvdb.ErrTooLarge)
	pairs, err := kv.Enumerate("")
	require.NoError(t, err)
	require.Empty(t, pairs)
	require.NoError(t, fill(500).Commit())
	pairs, err = kv.Enumerate("tx/")
	require.NoError(t, err)
	require.Len(t, pairs, 500)
	require.NoError(t, kv.DeleteTree("tx"))
}

// A transaction that writes nothing is sent again when its reply is lost.
func TestAnswerOfReadsIsLost(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	kv := instance(t, cluster, "d", nil, losing("Txn", codes.Unavailable))
	tx, err := kv.TxNew()
	require.NoError(t, err)
	_, err = tx.Get("key")
	require.Equal(t, kvdb.ErrNotFound, err)
	require.NoError(t, tx.Commit())
}
