package kvdbotel_test

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/portworx/kvdb"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
)

// becomes waits until a metric has a value.
func becomes(t *testing.T, s *sdk, name string, want float64) {
	t.Helper()
	require.Eventually(t, func() bool { return s.value(t, name) == want }, time.Minute, 50*time.Millisecond, "%s: %v", name, want)
}

// puts puts a key again and again until the result is as wanted.
func puts(t *testing.T, kv kvdb.Kvdb, want func(error) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := kv.Put("tree/key", "value", 0)
		return want(err)
	}, time.Minute, 50*time.Millisecond)
}

// lastPut returns the last span of a put.
func (s *sdk) lastPut(t *testing.T) (last tracetest.SpanStub) {
	for _, span := range s.spans.GetSpans() {
		if span.Name == "put my/app" {
			last = span
		}
	}
	require.Equal(t, "put my/app", last.Name)
	return last
}

// A real outage can be seen in metrics and spans: calls fail, their attempts did not run, the
// connection is gone, the watch is interrupted, the lock is lost. After it, all is as before,
// and the watch is still the same.
func TestOutage(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	s := newSDK(t, sdktrace.AlwaysSample())
	kv, err := kvdb.Open(t.Context(), kvdb.Config{
		Backend: etcdv3.Name, Domain: "my/app", Endpoints: cluster.Endpoints(),
		Hooks: []kvdb.Hook{s.Hook}, OnFatal: func(error, string, ...interface{}) {},
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
	made := s.value(t, "kvdb.connections")
	require.Positive(t, made)
	require.Equal(t, 1.0, s.value(t, "kvdb.watch.active"))
	require.Equal(t, 1.0, s.value(t, "kvdb.lock.held"))
	require.Zero(t, s.value(t, "kvdb.watch.interruptions"))
	answered := s.lastPut(t)
	require.Equal(t, codes.Unset, answered.Status.Code)
	for _, attribute := range address(t, cluster) {
		require.Contains(t, answered.Attributes, attribute)
		require.Contains(t, answered.Events[0].Attributes, attribute)
	}
	require.Contains(t, answered.Events[0].Attributes, attribute.String("kvdb.attempt.fate", "answered"))

	require.NoError(t, cluster.All()[0].Kill())
	failed := of(etcd, domain, semconv.DBOperationName("put"), semconv.ErrorTypeKey.String("no_connection"))
	puts(t, kv, func(error) bool { return s.values(t, "db.client.operation.duration")[failed] > 0 })
	span := s.lastPut(t)
	require.Equal(t, codes.Error, span.Status.Code)
	require.Contains(t, span.Attributes, semconv.ErrorTypeKey.String("no_connection"))
	require.NotEmpty(t, span.Events)
	for _, event := range span.Events {
		require.Contains(t, event.Attributes, attribute.String("kvdb.attempt.fate", "not_run"))
	}
	becomes(t, s, "kvdb.connections", 0)
	becomes(t, s, "kvdb.lock.held", 0)
	require.Equal(t, map[attribute.Distinct]float64{of(etcd, domain, attribute.String("kvdb.lock.loss.reason", "expired")): 1},
		s.values(t, "kvdb.lock.lost"))
	require.Equal(t, map[attribute.Distinct]float64{of(etcd, domain, semconv.ErrorTypeKey.String("no_connection")): 1},
		s.values(t, "kvdb.watch.interruptions"))

	require.NoError(t, cluster.All()[0].Start())
	for len(arrived) > 0 {
		<-arrived
	}
	puts(t, kv, func(err error) bool { return err == nil })
	require.Equal(t, "tree/key", <-arrived)
	becomes(t, s, "kvdb.connections", made)
	require.Equal(t, codes.Unset, s.lastPut(t).Status.Code)
	require.Equal(t, 1.0, s.value(t, "kvdb.watch.active"))
	require.ErrorIs(t, kv.Unlock(pair), kvdb.ErrInvalidLock)

	require.NoError(t, kvdb.Close(kv))
	require.ErrorIs(t, <-over, kvdb.ErrWatchStopped)
	becomes(t, s, "kvdb.watch.active", 0)
	becomes(t, s, "kvdb.connections", 0)
}

// address returns the attributes of the cluster's only server.
func address(t *testing.T, cluster *servers.Cluster) []attribute.KeyValue {
	endpoint, err := url.Parse(cluster.Endpoints()[0])
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(endpoint.Host)
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	return []attribute.KeyValue{semconv.ServerAddress(host), semconv.ServerPort(number)}
}
