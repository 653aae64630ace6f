package etcdv3

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// A transaction that only reads is not confirmed by a member that has missed a
// change of what was read.
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
