package kvdbotel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/plugin/kvdbotel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sdk is a hook whose metrics and spans are kept in memory.
type sdk struct {
	*kvdbotel.Hook
	tracers *sdktrace.TracerProvider
	meters  *metric.MeterProvider
	reader  *metric.ManualReader
	spans   *tracetest.InMemoryExporter
}

// newSDK returns a hook and where its metrics and spans go. sampler says which spans are
// recorded.
func newSDK(t testing.TB, sampler sdktrace.Sampler, options ...kvdbotel.Option) *sdk {
	s := &sdk{reader: metric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	s.meters = metric.NewMeterProvider(metric.WithReader(s.reader))
	s.tracers = sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSyncer(s.spans))
	t.Cleanup(func() {
		require.NoError(t, s.meters.Shutdown(context.Background()))
		require.NoError(t, s.tracers.Shutdown(context.Background()))
	})
	hook, err := kvdbotel.New(append(options, kvdbotel.WithMeterProvider(s.meters), kvdbotel.WithTracerProvider(s.tracers))...)
	require.NoError(t, err)
	s.Hook = hook
	return s
}

// metrics returns all metrics by name.
func (s *sdk) metrics(t testing.TB) map[string]metricdata.Metrics {
	var data metricdata.ResourceMetrics
	require.NoError(t, s.reader.Collect(context.Background(), &data))
	all := map[string]metricdata.Metrics{}
	for _, scope := range data.ScopeMetrics {
		require.Equal(t, kvdbotel.ScopeName, scope.Scope.Name)
		require.Equal(t, semconv.SchemaURL, scope.Scope.SchemaURL)
		for _, m := range scope.Metrics {
			all[m.Name] = m
		}
	}
	return all
}

// values returns the values of a metric, of a histogram its number of observations, by its
// attributes.
func (s *sdk) values(t testing.TB, name string) map[attribute.Distinct]float64 {
	all := map[attribute.Distinct]float64{}
	switch data := s.metrics(t)[name].Data.(type) {
	case metricdata.Histogram[float64]:
		for _, point := range data.DataPoints {
			all[point.Attributes.Equivalent()] = float64(point.Count)
		}
	case metricdata.Sum[int64]:
		for _, point := range data.DataPoints {
			all[point.Attributes.Equivalent()] = float64(point.Value)
		}
	}
	return all
}

// value returns the sum of the values of a metric.
func (s *sdk) value(t testing.TB, name string) (sum float64) {
	for _, v := range s.values(t, name) {
		sum += v
	}
	return sum
}

// of is the key in the result of values.
func of(attributes ...attribute.KeyValue) attribute.Distinct {
	set := attribute.NewSet(attributes...)
	return set.Equivalent()
}

// Attributes, by the names of the conventions.
var (
	etcd   = semconv.DBSystemNameKey.String("etcd")
	domain = semconv.DBNamespace("my/app")
)

const backend = "etcdv3-kv"

var (
	watch = kvdb.Watch{Backend: backend, Domain: "my/app", Key: "the-key", ID: 1}
	lock  = kvdb.LockInfo{Backend: backend, Domain: "my/app", Key: "the-key", ID: "the-owner"}
	errIO = errors.New("the-error")
)

// operation makes an operation with two attempts.
func operation(ctx context.Context, h *kvdbotel.Hook, name string, outcome kvdb.Outcome, err error) {
	op := kvdb.Operation{Backend: backend, Domain: "my/app", Name: name, Key: "the-key"}
	ctx = h.OnOperationStart(ctx, op)
	h.OnRequest(ctx, kvdb.Request{Backend: backend, Attempt: 1, Fate: kvdb.FateNotRun, Err: errIO})
	h.OnRequest(ctx, kvdb.Request{Backend: backend, Endpoint: "10.0.0.1:2379", Attempt: 2, Fate: kvdb.FateAnswered, Took: time.Second})
	h.OnOperationEnd(ctx, op, outcome, err, 2*time.Second)
}

// The metric of operations is that of the conventions: name, unit, buckets, attributes. Only
// failures have an error type.
func TestOperationDuration(t *testing.T) {
	s := newSDK(t, sdktrace.NeverSample())
	operation(t.Context(), s.Hook, "get", kvdb.OutcomeOK, nil)
	operation(t.Context(), s.Hook, "get", kvdb.OutcomeNotFound, kvdb.ErrNotFound)
	operation(t.Context(), s.Hook, "put", kvdb.OutcomeNoConnection, kvdb.ErrNoConnection)
	name := dbconv.ClientOperationDuration{}.Name()
	m := s.metrics(t)[name]
	require.Equal(t, dbconv.ClientOperationDuration{}.Unit(), m.Unit)
	require.Equal(t, dbconv.ClientOperationDuration{}.Description(), m.Description)
	for _, point := range m.Data.(metricdata.Histogram[float64]).DataPoints {
		require.Equal(t, []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10}, point.Bounds)
		require.Equal(t, 2*float64(point.Count), point.Sum, "seconds")
	}
	get, put := semconv.DBOperationName("get"), semconv.DBOperationName("put")
	require.Equal(t, map[attribute.Distinct]float64{
		of(etcd, domain, get): 2, of(etcd, domain, put, semconv.ErrorTypeKey.String("no_connection")): 1,
	}, s.values(t, name))
	require.Empty(t, s.spans.GetSpans(), "no span is sampled")
}

// A span is that of the conventions: kind, name, attributes, status. Its attempts are events.
func TestSpan(t *testing.T) {
	s := newSDK(t, sdktrace.AlwaysSample())
	ctx, parent := s.tracers.Tracer("test").Start(t.Context(), "parent")
	operation(ctx, s.Hook, "get", kvdb.OutcomeNotFound, kvdb.ErrNotFound)
	parent.End()
	spans := s.spans.GetSpans()
	require.Len(t, spans, 2)
	span := spans[0]
	require.Equal(t, "get my/app", span.Name)
	require.Equal(t, trace.SpanKindClient, span.SpanKind)
	require.Equal(t, parent.SpanContext().SpanID(), span.Parent.SpanID())
	require.Equal(t, kvdbotel.ScopeName, span.InstrumentationScope.Name)
	require.Equal(t, semconv.SchemaURL, span.InstrumentationScope.SchemaURL)
	require.Equal(t, codes.Unset, span.Status.Code, "an answer is no error")
	server := []attribute.KeyValue{semconv.ServerAddress("10.0.0.1"), semconv.ServerPort(2379)}
	require.ElementsMatch(t, append([]attribute.KeyValue{
		etcd, domain, semconv.DBOperationName("get"), attribute.String("kvdb.outcome", "not_found"),
	}, server...), span.Attributes)
	require.Len(t, span.Events, 2)
	require.ElementsMatch(t, []attribute.KeyValue{
		attribute.Int("kvdb.attempt.number", 1), attribute.String("kvdb.attempt.fate", "not_run"),
		attribute.Float64("kvdb.attempt.duration", 0),
	}, span.Events[0].Attributes)
	require.ElementsMatch(t, append([]attribute.KeyValue{
		attribute.Int("kvdb.attempt.number", 2), attribute.String("kvdb.attempt.fate", "answered"),
		attribute.Float64("kvdb.attempt.duration", 1),
	}, server...), span.Events[1].Attributes)
	require.Len(t, spans[1].Events, 0)
}

// A failed operation makes its span one with an error. Keys and texts of errors are in spans
// only with the option.
func TestDetails(t *testing.T) {
	for _, details := range []bool{false, true} {
		var options []kvdbotel.Option
		if details {
			options = append(options, kvdbotel.WithDetails())
		}
		s := newSDK(t, sdktrace.AlwaysSample(), options...)
		operation(t.Context(), s.Hook, "put", kvdb.OutcomeUnknown, errIO)
		span := s.spans.GetSpans()[0]
		require.Equal(t, codes.Error, span.Status.Code)
		require.Contains(t, span.Attributes, semconv.ErrorTypeKey.String("unknown_outcome"))
		text := fmt.Sprint(span.Attributes, span.Events, span.Status)
		if details {
			require.Contains(t, span.Attributes, attribute.String("kvdb.key", "the-key"))
			require.Contains(t, span.Events[0].Attributes, attribute.String("kvdb.attempt.error", "the-error"))
			require.Equal(t, "the-error", span.Status.Description)
		} else {
			require.NotContains(t, text, "the-key")
			require.NotContains(t, text, "the-error")
		}
	}
}

// A hook that was added in the middle of an operation leaves the caller's span alone.
func TestOnlyOwnSpans(t *testing.T) {
	s := newSDK(t, sdktrace.AlwaysSample())
	ctx, callers := s.tracers.Tracer("test").Start(t.Context(), "caller's")
	s.OnRequest(ctx, kvdb.Request{Backend: backend, Endpoint: "10.0.0.1:2379", Attempt: 1, Fate: kvdb.FateAnswered})
	s.OnOperationEnd(ctx, kvdb.Operation{Backend: backend, Name: "get"}, kvdb.OutcomeError, errIO, time.Second)
	require.True(t, callers.IsRecording(), "the span has ended")
	callers.End()
	span := s.spans.GetSpans()[0]
	require.Empty(t, span.Attributes)
	require.Empty(t, span.Events)
	require.Equal(t, codes.Unset, span.Status.Code)
}

// An instance without a domain, of a backend that is not known, has the name of the operation
// as its span's and that of the backend as its system's.
func TestUnknownBackend(t *testing.T) {
	s := newSDK(t, sdktrace.AlwaysSample())
	op := kvdb.Operation{Backend: "my-kv", Name: "get"}
	s.OnOperationEnd(s.OnOperationStart(t.Context(), op), op, kvdb.OutcomeOK, nil, time.Second)
	span := s.spans.GetSpans()[0]
	require.Equal(t, "get", span.Name)
	require.Contains(t, span.Attributes, semconv.DBSystemNameKey.String("my-kv"))
	for _, a := range span.Attributes {
		require.NotEqual(t, semconv.DBNamespaceKey, a.Key)
	}
}

// Attempts and connections are counted by server.
func TestServers(t *testing.T) {
	s := newSDK(t, sdktrace.NeverSample())
	operation(t.Context(), s.Hook, "get", kvdb.OutcomeOK, nil)
	s.OnRequest(t.Context(), kvdb.Request{Backend: backend, Endpoint: "[::1]:2379", Attempt: 1, Fate: kvdb.FateRefused})
	s.OnRequest(t.Context(), kvdb.Request{Backend: backend, Endpoint: "socket", Attempt: 1, Fate: kvdb.FateRefused})
	first := []attribute.KeyValue{etcd, semconv.ServerAddress("10.0.0.1"), semconv.ServerPort(2379)}
	fate := attribute.Key("kvdb.attempt.fate")
	require.Equal(t, map[attribute.Distinct]float64{
		of(etcd, fate.String("not_run")):                                                         1,
		of(append(first, fate.String("answered"))...):                                            1,
		of(etcd, semconv.ServerAddress("::1"), semconv.ServerPort(2379), fate.String("refused")): 1,
		of(etcd, semconv.ServerAddress("socket"), fate.String("refused")):                        1,
	}, s.values(t, "kvdb.attempts"))
	s.OnConnectionMade(backend, "10.0.0.1:2379")
	s.OnConnectionMade(backend, "10.0.0.1:2379")
	s.OnConnectionLost(backend, "10.0.0.1:2379", errIO)
	require.Equal(t, map[attribute.Distinct]float64{of(first...): 1}, s.values(t, "kvdb.connections"))
}

// A lock counts as held from when it is obtained until it is released or lost.
func TestLocks(t *testing.T) {
	s := newSDK(t, sdktrace.NeverSample())
	s.OnLockWaiting(lock)
	s.OnLockObtained(lock, time.Second)
	s.OnLockObtained(lock, time.Second)
	s.OnLockNotObtained(lock, time.Second, kvdb.ErrExist)
	require.Equal(t, map[attribute.Distinct]float64{of(etcd, domain): 2}, s.values(t, "kvdb.lock.held"))
	require.Equal(t, map[attribute.Distinct]float64{of(etcd, domain): 3}, s.values(t, "kvdb.lock.wait.duration"))
	s.OnLockHeldTooLong(lock, time.Minute)
	s.OnLockReleased(lock, time.Second, nil)
	s.OnLockLost(lock, time.Second, kvdb.LockExpired)
	require.Zero(t, s.value(t, "kvdb.lock.held"))
	require.Equal(t, 2.0, s.value(t, "kvdb.lock.hold.duration"))
	require.Equal(t, map[attribute.Distinct]float64{of(etcd, domain, attribute.String("kvdb.lock.loss.reason", "expired")): 1},
		s.values(t, "kvdb.lock.lost"))
}

// Watches, their events, interruptions and queue are counted.
func TestWatches(t *testing.T) {
	s := newSDK(t, sdktrace.NeverSample())
	s.OnWatchStart(watch)
	s.OnWatchInterrupted(watch, kvdb.ErrNoConnection)
	s.OnWatchResumed(watch, time.Second)
	require.Equal(t, map[attribute.Distinct]float64{of(etcd, domain): 1}, s.values(t, "kvdb.watch.active"))
	require.Equal(t, map[attribute.Distinct]float64{of(etcd, domain, semconv.ErrorTypeKey.String("no_connection")): 1},
		s.values(t, "kvdb.watch.interruptions"))
	s.OnWatchQueue(watch, 3)
	s.OnDelivery(kvdb.Delivery{Watch: watch, Key: "the-key", Action: kvdb.KVDelete, Took: time.Second})
	require.Equal(t, 2.0, s.value(t, "kvdb.watch.queue"))
	require.Equal(t, map[attribute.Distinct]float64{of(etcd, domain, attribute.String("kvdb.watch.action", "delete")): 1},
		s.values(t, "kvdb.watch.events"))
	require.Equal(t, 1.0, s.value(t, "kvdb.watch.callback.duration"))
	s.OnWatchEnd(watch, kvdb.ErrWatchStopped, nil)
	require.Zero(t, s.value(t, "kvdb.watch.active"))
	require.Zero(t, s.value(t, "kvdb.watch.queue"))
}

// No metric has a key, an owner or the text of an error. All have a unit and a description.
func TestNoSecretsInMetrics(t *testing.T) {
	s := newSDK(t, sdktrace.NeverSample(), kvdbotel.WithDetails())
	operation(t.Context(), s.Hook, "put", kvdb.OutcomeError, errIO)
	s.OnConnectionMade(backend, "10.0.0.1:2379")
	s.OnConnectionLost(backend, "10.0.0.1:2379", errIO)
	s.OnWatchStart(watch)
	s.OnWatchInterrupted(watch, errIO)
	s.OnDelivery(kvdb.Delivery{Watch: watch, Key: "the-key", Action: kvdb.KVSet})
	s.OnWatchQueue(watch, 1)
	s.OnWatchEnd(watch, kvdb.ErrWatchStopped, errIO)
	s.OnLockObtained(lock, time.Second)
	s.OnLockLost(lock, time.Second, "the-error")
	all := s.metrics(t)
	require.Len(t, all, 12)
	for name, m := range all {
		require.NotEmpty(t, m.Unit, name)
		require.NotEmpty(t, m.Description, name)
	}
	text := fmt.Sprintf("%+v", all)
	for _, secret := range []string{"the-key", "the-owner", "the-error"} {
		require.NotContains(t, text, secret)
	}
}

// Without a provider there are no metrics, or no spans.
func TestNilProvider(t *testing.T) {
	s := newSDK(t, sdktrace.AlwaysSample())
	spansOnly, err := kvdbotel.New(kvdbotel.WithMeterProvider(nil), kvdbotel.WithTracerProvider(s.tracers))
	require.NoError(t, err)
	operation(t.Context(), spansOnly, "get", kvdb.OutcomeOK, nil)
	require.Empty(t, s.metrics(t))
	require.Len(t, s.spans.GetSpans(), 1)
	metricsOnly, err := kvdbotel.New(kvdbotel.WithMeterProvider(s.meters), kvdbotel.WithTracerProvider(nil))
	require.NoError(t, err)
	operation(t.Context(), metricsOnly, "get", kvdb.OutcomeOK, nil)
	require.Len(t, s.metrics(t), 2)
	require.Len(t, s.spans.GetSpans(), 1)
}
