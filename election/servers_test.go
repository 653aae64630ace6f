package election_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul"
	"github.com/portworx/kvdb/election"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/zookeeper"
)

// patience is how long a test waits for something that must happen.
const patience = time.Minute

// connect returns an instance whose fatal callback must not be called.
func connect(t *testing.T, init kvdb.DatastoreInit, endpoints ...string) kvdb.Kvdb {
	kv, err := init("domain", endpoints, nil, func(err error, _ string, _ ...interface{}) { t.Errorf("fatal callback: %v", err) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "not in time: "+what)
		panic("not reached")
	}
}

// term is a term of a candidate, with the time and the cause of its end.
type term struct {
	election.Term
	ended time.Time
	cause error
}

// candidate is a candidate that leads until its context ends or resign has an element.
type candidate struct {
	resign chan struct{}
	began  chan election.Term
	ended  chan term
}

func campaign(t *testing.T, kv kvdb.Kvdb, id string, leading *atomic.Int32) *candidate {
	c := &candidate{make(chan struct{}), make(chan election.Term, 100), make(chan term, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() {
		over <- election.Run(ctx, kv, "leader", id, func(ctx context.Context, now election.Term) error {
			if n := leading.Add(1); n != 1 {
				t.Errorf("%d leaders", n)
			}
			defer leading.Add(-1)
			c.began <- now
			select {
			case <-c.resign:
			case <-ctx.Done():
			}
			c.ended <- term{now, time.Now(), context.Cause(ctx)}
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); <-over })
	return c
}

// A leader that alone is cut off from the store stops before another candidate leads. When it
// is back, it is a candidate again. An observer sees the new leader.
func TestLeaderIsCutOff(t *testing.T) {
	for _, store := range []struct {
		name  string
		start func(testing.TB, servers.Options) *servers.Cluster
		init  kvdb.DatastoreInit
	}{
		{"etcd v3", servers.Etcd, etcdv3.New},
		{"etcd v2", servers.Etcd35, etcdv2.New},
		{"Consul", servers.Consul, consul.New},
		{"ZooKeeper", servers.ZooKeeper, zookeeper.New},
	} {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			member := store.start(t, servers.Options{}).All()[0]
			remote, near := connect(t, store.init, member.Endpoint()), connect(t, store.init, member.Direct())
			var leading atomic.Int32
			first := campaign(t, remote, "first", &leading)
			began := receive(t, first.began, "the first candidate leads")
			second := campaign(t, near, "second", &leading)
			require.NoError(t, member.Clients().Blackhole())
			lost := receive(t, first.ended, "the leader's context ends")
			require.Equal(t, election.ErrLost, lost.cause)
			next := receive(t, second.began, "the second candidate leads")
			require.Greater(t, next.Token, began.Token)
			for leader, err := range election.Observe(t.Context(), near, "leader") {
				require.NoError(t, err)
				if leader == next.Leader {
					break
				}
			}
			require.NoError(t, member.Clients().Heal())
			second.resign <- struct{}{}
			require.NoError(t, receive(t, second.ended, "the second candidate resigns").cause)
			again := receive(t, first.began, "the first candidate leads again")
			require.Equal(t, "first", again.ID)
			require.Greater(t, again.Token, next.Token)
		})
	}
}

// A leader whose lock somebody removes stops, and leads again with a larger token.
func TestLockIsRemoved(t *testing.T) {
	t.Parallel()
	member := servers.Etcd(t, servers.Options{}).All()[0]
	kv := connect(t, etcdv3.New, member.Endpoint())
	var leading atomic.Int32
	c := campaign(t, kv, "me", &leading)
	began := receive(t, c.began, "the candidate leads")
	_, err := kv.Delete("domain/leader") // the lock's key is below the domain twice
	require.NoError(t, err)
	require.Equal(t, election.ErrLost, receive(t, c.ended, "the leader's context ends").cause)
	require.Greater(t, receive(t, c.began, "the candidate leads again").Token, began.Token)
}
