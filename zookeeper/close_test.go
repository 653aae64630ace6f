package zookeeper

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// closeBound is how long Close may take, on a busy machine.
const closeBound = 12 * time.Second

// closed closes an instance and returns the error.
func closed(kv kvdb.Kvdb) <-chan error {
	done := make(chan error, 1)
	go func() { done <- kvdb.Close(kv) }()
	return done
}

// Close while the servers elect a leader releases the locks.
func TestCloseDuringAnElection(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3})
	for range 3 {
		kv, err := New("d", cluster.Endpoints(), nil, nil)
		require.NoError(t, err)
		other := instance(t, "d", cluster.Endpoints(), nil)
		_, err = kv.LockWithTimeout("lock", "me", patience, 0)
		require.NoError(t, err)
		leader, err := cluster.Leader(t.Context())
		require.NoError(t, err)
		require.NoError(t, leader.Kill())
		began := time.Now()
		require.NoError(t, receive(t, closed(kv), "Close"))
		require.Less(t, time.Since(began), closeBound)
		pair, err := other.LockWithTimeout("lock", "next", 5*time.Second, 0)
		require.NoError(t, err, "the session expires much later")
		require.NoError(t, other.Unlock(pair))
		require.NoError(t, leader.Start())
	}
}

// Close without a connection releases the locks when there is one again in time, and
// otherwise returns an error that names them.
func TestCloseWithoutAConnection(t *testing.T) {
	t.Parallel() // it mostly waits
	member := servers.ZooKeeper(t, servers.Options{}).All()[0]
	other := instance(t, "d", []string{member.Endpoint()}, nil)
	for _, comesBack := range []bool{true, false} {
		o := observe(t, member)
		kv, err := New("d", []string{o.Addr().String()}, nil, nil)
		require.NoError(t, err)
		for _, key := range []string{"one", "dir/two"} {
			_, err = kv.LockWithTimeout(key, "me", 0, 0)
			require.NoError(t, err)
		}
		o.cut(true)
		began := time.Now()
		done := closed(kv)
		select {
		case err := <-done:
			require.Fail(t, "Close has returned", "%v", err)
		case <-time.After(2 * time.Second): // an outage
		}
		if comesBack {
			o.cut(false)
			require.NoError(t, receive(t, done, "Close"))
		} else {
			err := receive(t, done, "Close")
			require.ErrorIs(t, err, kvdb.ErrNoConnection)
			require.ErrorContains(t, err, `"d/dir/two" "d/one"`)
		}
		require.Less(t, time.Since(began), closeBound)
		for _, key := range []string{"one", "dir/two"} {
			wait := 2 * time.Second
			if !comesBack {
				wait = patience
			}
			pair, err := other.LockWithTimeout(key, "next", wait, 0)
			require.NoError(t, err)
			require.NoError(t, other.Unlock(pair))
		}
	}
}
