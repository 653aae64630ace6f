// Observed is a daemon whose store is observed in all three ways: the log has what operators
// act on, /metrics has the metrics for Prometheus, and each operation is a span of
// OpenTelemetry. Run `go run . http://127.0.0.1:2379` here, and look at localhost:8080/metrics.
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/portworx/kvdb"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/kvdbslog"
	"github.com/portworx/kvdb/plugin/kvdbotel"
	"github.com/portworx/kvdb/plugin/kvdbprom"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	spans, err := stdouttrace.New()
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, os.Args[1:], listener, spans); err != nil {
		log.Fatal(err)
	}
}

// run works, and serves the metrics, until ctx ends.
func run(ctx context.Context, endpoints []string, listener net.Listener, spans sdktrace.SpanExporter) (err error) {
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans))
	defer func() { err = errors.Join(err, provider.Shutdown(context.WithoutCancel(ctx))) }()
	otel.SetTracerProvider(provider)

	// The names of the wrappers are enough to observe an instance. They use the default logger
	// of log/slog, the default registerer of Prometheus and the provider that was set above.
	observed := strings.Join([]string{string(kvdbslog.Wrapper), string(kvdbprom.Wrapper), string(kvdbotel.Wrapper)}, ",")
	kv, err := kvdb.New(etcdv3.Name, "example/observed", endpoints, map[string]string{kvdb.WrappersOption: observed}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kvdb.Close(kv)) }()

	server := &http.Server{Handler: promhttp.Handler(), ReadHeaderTimeout: time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		err = errors.Join(err, server.Close())
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
	}()

	if err := kv.WatchTree("work/", 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error { return err }); err != nil {
		return err
	}
	for n := 0; ctx.Err() == nil; n++ {
		work(ctx, kv, n)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// work does a piece of work under a lock, in a span of its own. Its errors are in the log, the
// metrics and the spans, so it does not report them.
func work(ctx context.Context, kv kvdb.Kvdb, n int) {
	ctx, span := otel.Tracer("observed").Start(ctx, "work")
	defer span.End()
	kv = kvdb.WithContext(ctx, kv)
	lock, err := kv.LockWithTimeout("lock", "observed", time.Second, time.Minute)
	if err != nil {
		return
	}
	_, _ = kv.Put("work/"+strconv.Itoa(n%10), n, 0)
	_ = kv.Unlock(lock)
}
