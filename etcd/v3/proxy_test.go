package etcdv3_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
)

// All calls that etcd's gRPC proxy supports work behind it, for both releases.
func TestConformanceBehindProxy(t *testing.T) {
	for name, start := range map[string]func(testing.TB, servers.Options) *servers.Cluster{
		"etcd 3.6": servers.Etcd, "etcd 3.5": servers.Etcd35,
	} {
		t.Run(name, func(t *testing.T) {
			cluster := start(t, servers.Options{})
			test.Conformance(t, test.Harness{
				Name: name + " behind its proxy", Init: etcdv3.New, Endpoints: []string{servers.GRPCProxy(t, cluster)},
				Traits: traits, Bare: true,
				// Members are left out because they are the proxies, others because they take long.
				Groups: []string{
					"Keys", "Values", "Writes", "Conditions", "Reads", "Selects", "Watches", "Resume", "Compact",
					"Snapshots", "Locks", "Transactions", "Guards", "Contexts", "Close",
				},
			})
		})
	}
}

// The proxy answers a request to keep a lease alive only when it keeps the lease
// alive itself, every five seconds: a lock is held for longer than its lease.
func TestLockBehindProxy(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{})
	kv, err := etcdv3.New("d", []string{servers.GRPCProxy(t, cluster)}, nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	pair, err := kv.Lock("key")
	require.NoError(t, err)
	select {
	case <-pair.Lock.(kvdb.HeldLock).Lost():
		t.Fatal("the lock is lost")
	case <-time.After(20 * time.Second): // the TTL of its lease is 16 s
	}
	require.NoError(t, kv.Unlock(pair))
}

// A watch survives restarts of the servers behind a proxy, and of the proxy.
func TestWatchBehindProxies(t *testing.T) {
	t.Parallel()
	cluster := servers.Etcd(t, servers.Options{Members: 3})
	kv, err := etcdv3.New("d", []string{servers.GRPCProxy(t, cluster), servers.GRPCProxy(t, cluster)}, nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	got := make(chan string, 100)
	require.NoError(t, kv.WatchTree("", 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil {
			got <- pair.Key
		}
		return err
	}))
	for i, m := range cluster.All() {
		require.NoError(t, m.Kill())
		require.NoError(t, m.Start())
		key := fmt.Sprint("key", i)
		require.Eventually(t, func() bool { _, err := kv.Put(key, "value", 0); return err == nil }, 30*time.Second, 50*time.Millisecond)
		require.Eventually(t, func() bool { return len(got) > 0 && <-got == key }, 30*time.Second, 20*time.Millisecond)
	}
	for _, m := range cluster.All() {
		require.NoError(t, m.Kill())
	}
	_, err = kv.Put("key", "value", 0)
	require.Error(t, err)
	for _, m := range cluster.All() {
		require.NoError(t, m.Start())
	}
	require.Eventually(t, func() bool { _, err := kv.Put("last", "value", 0); return err == nil }, 30*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return len(got) > 0 && <-got == "last" }, 30*time.Second, 20*time.Millisecond)
}

// An instance that only waits detects a store that went back, even if the store has
// reached the same revision again. Behind a proxy, which has its own connections to
// the servers, that takes until the next ping.
func TestWipedWhileIdle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ passed, proxy bool }{
		"few": {}, "passed": {passed: true}, "proxy, few": {proxy: true}, "proxy, passed": {passed: true, proxy: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := servers.Etcd(t, servers.Options{})
			endpoints := cluster.Endpoints()
			if c.proxy {
				endpoints = []string{servers.GRPCProxy(t, cluster)}
			}
			kv, err := etcdv3.New("d", endpoints, nil, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, kvdb.Close(kv)) }()
			for range 20 {
				_, err = kv.Put("key", "value", 0)
				require.NoError(t, err)
			}
			ended := make(chan error, 2)
			require.NoError(t, kv.WatchTree("none", 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
				ended <- err
				return err
			}))
			require.NoError(t, cluster.Wipe(func(endpoints []string) error {
				direct, err := etcdv3.New("d", endpoints, nil, nil)
				for i := 0; err == nil && c.passed && i < 40; i++ {
					_, err = direct.Put("key", "other", 0)
				}
				return errors.Join(err, kvdb.Close(direct))
			}))
			select {
			case err := <-ended:
				require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
			case <-time.After(30 * time.Second):
				t.Fatal("the watch does not notice")
			}
		})
	}
}
