package kvdbprom_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
)

// becomes waits until a metric without labels has a value.
func becomes(t *testing.T, g prometheus.Gatherer, name string, want float64) {
	t.Helper()
	require.Eventually(t, func() bool { return value(t, g, name) == want }, time.Minute, 50*time.Millisecond, "%s: %v", name, want)
}

// puts puts a key again and again until the result is as wanted.
func puts(t *testing.T, kv kvdb.Kvdb, want func(error) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := kv.Put("tree/key", "value", 0)
		return want(err)
	}, time.Minute, 50*time.Millisecond)
}

// A real outage can be seen in the metrics: calls fail, their attempts did not run, the
// connection is gone, the watch is interrupted, the lock is lost. After it, all is as before,
// and the watch is still the same.
func TestOutage(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	hook, registry := newHook(t)
	kv, err := kvdb.Open(t.Context(), kvdb.Config{
		Backend: etcdv3.Name, Domain: "prom", Endpoints: cluster.Endpoints(),
		Hooks: []kvdb.Hook{hook}, OnFatal: func(error, string, ...interface{}) {},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	arrived, over := make(chan string, 1000), make(chan error, 1)
	events, err := kvdb.Events(ctx, kv, "tree", 0)
	require.NoError(t, err)
	go func() {
		for event, err := range events {
			if err != nil {
				over <- err
				return
			}
			arrived <- event.Key
		}
	}()
	pair, err := kv.Lock("lock")
	require.NoError(t, err)
	puts(t, kv, func(err error) bool { return err == nil })
	require.Equal(t, "tree/key", <-arrived)
	made := value(t, registry, "kvdb_connections")
	require.Positive(t, made)
	require.Equal(t, 1.0, value(t, registry, "kvdb_watches"))
	require.Equal(t, 1.0, value(t, registry, "kvdb_locks_held"))
	operations := func() map[string]float64 { return values(t, registry, "kvdb_operation_duration_seconds") }
	require.Equal(t, 1.0, operations()["backend=etcdv3-kv operation=lock outcome=ok"])
	for labels, n := range values(t, registry, "kvdb_watch_interruptions_total") {
		require.Zero(t, n, labels)
	}

	require.NoError(t, cluster.All()[0].Kill())
	puts(t, kv, func(err error) bool { return err != nil })
	puts(t, kv, func(error) bool { return operations()["backend=etcdv3-kv operation=put outcome=no_connection"] > 0 })
	becomes(t, registry, "kvdb_connections", 0)
	becomes(t, registry, "kvdb_locks_held", 0)
	require.Equal(t, 1.0, values(t, registry, "kvdb_locks_lost_total")["reason=expired"])
	interruptions := values(t, registry, "kvdb_watch_interruptions_total")
	require.Equal(t, 1.0, interruptions["reason=no_connection"], interruptions)
	attempts := values(t, registry, "kvdb_attempts_total")
	require.Positive(t, attempts["endpoint= fate=not_run"], attempts) // no server can be chosen

	require.NoError(t, cluster.All()[0].Start())
	for len(arrived) > 0 {
		<-arrived
	}
	puts(t, kv, func(err error) bool { return err == nil })
	require.Equal(t, "tree/key", <-arrived)
	becomes(t, registry, "kvdb_connections", made)
	require.Equal(t, 1.0, value(t, registry, "kvdb_watches"))
	require.ErrorIs(t, kv.Unlock(pair), kvdb.ErrInvalidLock)
	require.Zero(t, value(t, registry, "kvdb_locks_held"))

	require.NoError(t, kvdb.Close(kv))
	require.ErrorIs(t, <-over, kvdb.ErrWatchStopped)
	becomes(t, registry, "kvdb_watches", 0)
	becomes(t, registry, "kvdb_connections", 0)
	require.Equal(t, 1.0, values(t, registry, "kvdb_locks_lost_total")["reason=expired"])
}
