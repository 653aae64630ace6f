package kvdbotel_test

import (
	"context"
	"fmt"
	"log"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/plugin/kvdbotel"
)

// The option alone turns on metrics and spans, with the global providers.
func Example() {
	options := map[string]string{kvdb.WrappersOption: string(kvdbotel.Wrapper)}
	kv, err := kvdb.New(mem.Name, "my/app", nil, options, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	fmt.Println(kv.WrapperName())
	// Output: Wrapper_OpenTelemetry
}

// Spans of a provider that is not the global one.
func ExampleNew() {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	hook, err := kvdbotel.New(kvdbotel.WithTracerProvider(provider))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	kv, err := kvdb.Open(ctx, kvdb.Config{Backend: mem.Name, Domain: "my/app", Hooks: []kvdb.Hook{hook}})
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	if _, err := kvdb.WithContext(ctx, kv).Put("key", "value", 0); err != nil {
		log.Fatal(err)
	}
	fmt.Println(exporter.GetSpans()[0].Name)
	// Output: put my/app
}
