package etcdv2

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Close during an election releases the locks when the election is over.
func TestCloseDuringElection(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd35(t, servers.Options{Members: 3})
	kv, err := New("election", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	other := instance(t, cluster, "election", nil, nil)
	for _, key := range []string{"a", "b/c"} {
		_, err := kv.Lock(key)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), await)
	defer cancel()
	leader, err := cluster.Leader(ctx)
	require.NoError(t, err)
	require.NoError(t, leader.Kill())
	require.NoError(t, kvdb.Close(kv))
	for _, key := range []string{"a", "b/c"} {
		lock, err := other.LockWithTimeout(key, "other", 0, 0)
		require.NoError(t, err)
		require.NoError(t, other.Unlock(lock))
	}
}

// Close during an outage tries until its time is over. Its error names the locks that it
// could not release.
func TestCloseDuringOutage(t *testing.T) {
	t.Parallel()
	cluster, short, long := servers.Etcd35(t, servers.Options{}), &network{}, &network{}
	open := func(n *network) kvdb.Kvdb {
		kv, err := newInstance("outage", cluster.Endpoints(), nil, nil, n.wrap)
		require.NoError(t, err)
		return kv
	}
	a, b := open(short), open(long)
	_, err := a.Lock("a")
	require.NoError(t, err)
	for _, key := range []string{"b", "c/%2F"} {
		_, err := b.Lock(key)
		require.NoError(t, err)
	}
	short.cut(everything)
	long.cut(everything)
	mend := time.AfterFunc(5*time.Second, short.mend)
	defer mend.Stop()
	closed := make(chan error, 1)
	began := time.Now()
	go func() { closed <- kvdb.Close(b) }()
	require.NoError(t, kvdb.Close(a))
	err = receive(t, closed)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.ErrorContains(t, err, `"outage/b" "outage/c/%2F"`)
	require.Less(t, time.Since(began), 12*time.Second)
	other := instance(t, cluster, "outage", nil, nil)
	lock, err := other.LockWithTimeout("a", "other", 0, 0)
	require.NoError(t, err)
	require.NoError(t, other.Unlock(lock))
}
