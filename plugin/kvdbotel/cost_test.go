package kvdbotel_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/plugin/kvdbotel"
)

// metricsOnly returns a hook that makes no spans.
func metricsOnly(t testing.TB) *kvdbotel.Hook {
	hook, err := kvdbotel.New(kvdbotel.WithTracerProvider(nil),
		kvdbotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))))
	require.NoError(t, err)
	return hook
}

// bare makes an operation without requests.
func bare(h *kvdbotel.Hook) {
	op := kvdb.Operation{Backend: backend, Domain: "my/app", Name: "get", Key: "the-key"}
	h.OnOperationEnd(h.OnOperationStart(context.Background(), op), op, kvdb.OutcomeOK, nil, time.Millisecond)
}

// event makes an event of a watch.
func event(h *kvdbotel.Hook) {
	h.OnWatchQueue(watch, 1)
	h.OnDelivery(kvdb.Delivery{Watch: watch, Action: kvdb.KVSet, Took: time.Millisecond})
}

// Metrics of an operation, a request and an event allocate nothing.
func TestAllocations(t *testing.T) {
	hook := metricsOnly(t)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		bare(hook)
		hook.OnRequest(context.Background(), kvdb.Request{Backend: backend, Endpoint: "10.0.0.1:2379", Fate: kvdb.FateAnswered})
		event(hook)
	}))
}

// An operation without a span.
func BenchmarkMetrics(b *testing.B) {
	hook := metricsOnly(b)
	b.ReportAllocs()
	for b.Loop() {
		bare(hook)
	}
}

// An operation whose span is not sampled, without metrics.
func BenchmarkUnsampledSpan(b *testing.B) { benchmarkSpan(b, sdktrace.NeverSample()) }

// An operation whose span is recorded, without metrics.
func BenchmarkSampledSpan(b *testing.B) { benchmarkSpan(b, sdktrace.AlwaysSample()) }

func benchmarkSpan(b *testing.B, sampler sdktrace.Sampler) {
	hook, err := kvdbotel.New(kvdbotel.WithMeterProvider(nil), kvdbotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler))))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		bare(hook)
	}
}

func BenchmarkDelivery(b *testing.B) {
	hook := metricsOnly(b)
	b.ReportAllocs()
	for b.Loop() {
		event(hook)
	}
}
