package kvdbotel_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/plugin/kvdbotel"
)

// The option alone is enough, also if the global providers are set later. A span is the
// child of that of the view's context.
func TestWrappersOption(t *testing.T) {
	options := map[string]string{kvdb.WrappersOption: string(kvdbotel.Wrapper)}
	var instances []kvdb.Kvdb
	for range 2 {
		kv, err := kvdb.New(mem.Name, "my/app", nil, options, nil)
		require.NoError(t, err)
		require.Equal(t, kvdbotel.Wrapper, kv.WrapperName())
		instances = append(instances, kv)
	}
	s := newSDK(t, sdktrace.AlwaysSample())
	meters, tracers := otel.GetMeterProvider(), otel.GetTracerProvider()
	otel.SetMeterProvider(s.meters)
	otel.SetTracerProvider(s.tracers)
	t.Cleanup(func() {
		otel.SetMeterProvider(meters)
		otel.SetTracerProvider(tracers)
	})
	ctx, parent := s.tracers.Tracer("test").Start(t.Context(), "parent")
	for _, kv := range instances {
		view := kvdb.WithContext(ctx, kv)
		events, err := kvdb.Events(ctx, kv, "tree", 0)
		require.NoError(t, err)
		_, err = view.Put("tree/key", "value", 0)
		require.NoError(t, err)
		for event, err := range events {
			require.NoError(t, err)
			require.Equal(t, "tree/key", event.Key)
			break
		}
		_, err = view.Get("missing")
		require.ErrorIs(t, err, kvdb.ErrNotFound)
		require.NoError(t, kvdb.Close(kv))
	}
	parent.End()
	var names []string
	for _, span := range s.spans.GetSpans() {
		if span.Name != "parent" {
			require.Equal(t, parent.SpanContext().SpanID(), span.Parent.SpanID(), span.Name)
			names = append(names, span.Name)
		}
	}
	require.Equal(t, []string{"watch my/app", "put my/app", "get my/app", "watch my/app", "put my/app", "get my/app"}, names)
	system, domain := semconv.DBSystemNameKey.String(mem.Name), semconv.DBNamespace("my/app")
	durations := s.values(t, "db.client.operation.duration")
	for _, name := range []string{"watch", "put", "get"} {
		require.Equal(t, 2.0, durations[of(system, domain, semconv.DBOperationName(name))], name)
	}
	require.Equal(t, map[attribute.Distinct]float64{of(system, domain, attribute.String("kvdb.watch.action", "create")): 2},
		s.values(t, "kvdb.watch.events"))
	require.Equal(t, map[attribute.Distinct]float64{of(system, domain): 0}, s.values(t, "kvdb.watch.active"))
}
