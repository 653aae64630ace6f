package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/portworx/kvdb/test/servers"
)

const patience = 30 * time.Second

// The daemon's operations are in its metrics and spans, the spans below those of its work. An
// outage of the store does not end it.
func TestOutage(t *testing.T) {
	member := servers.Etcd(t, servers.Options{}).All()[0]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	spans := tracetest.NewInMemoryExporter()
	keeping := &keeper{InMemoryExporter: spans}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- run(ctx, []string{member.Endpoint()}, listener, keeping) }()

	awaitMetrics(t, listener, `kvdb_operation_duration_seconds_count{backend="etcdv3-kv",operation="put",outcome="ok"}`,
		"\nkvdb_watches 1\n", "\nkvdb_lock_wait_seconds_count")
	require.NoError(t, member.Kill())
	awaitMetrics(t, listener, `kvdb_watch_interruptions_total{reason="no_connection"} 1`)
	require.NoError(t, member.Start())
	stop()
	select {
	case err := <-over:
		require.NoError(t, err)
	case <-time.After(patience):
		require.FailNow(t, "the daemon must end")
	}
	byName := map[string]tracetest.SpanStub{}
	for _, span := range keeping.kept {
		byName[span.Name] = span
	}
	require.Contains(t, byName, "work")
	parents := map[string]bool{}
	for _, span := range keeping.kept {
		if span.Name == "work" {
			parents[span.SpanContext.SpanID().String()] = true
		}
	}
	below := 0
	for _, span := range keeping.kept {
		if parents[span.Parent.SpanID().String()] {
			below++
		}
	}
	require.GreaterOrEqual(t, below, 3, "the lock, the write and the unlock of some work")
}

// keeper keeps the spans that its exporter forgets when it is shut down.
type keeper struct {
	*tracetest.InMemoryExporter
	kept tracetest.SpanStubs
}

func (k *keeper) Shutdown(ctx context.Context) error {
	k.kept = k.GetSpans()
	return k.InMemoryExporter.Shutdown(ctx)
}

// awaitMetrics waits until a scrape has all texts.
func awaitMetrics(t *testing.T, listener net.Listener, texts ...string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var scraped string
	for deadline := time.Now().Add(patience); ; <-tick.C {
		reply, err := http.Get("http://" + listener.Addr().String() + "/metrics")
		require.NoError(t, err)
		body, err := io.ReadAll(reply.Body)
		require.NoError(t, errors.Join(err, reply.Body.Close()))
		scraped = string(body)
		missing := ""
		for _, text := range texts {
			if !strings.Contains(scraped, text) {
				missing = text
			}
		}
		if missing == "" {
			return
		}
		require.True(t, time.Now().Before(deadline), "no %s in\n%s", missing, scraped)
	}
}
