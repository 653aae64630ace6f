package kvdbprom_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/plugin/kvdbprom"
)

// The option alone turns the metrics on. promhttp.Handler serves them.
func Example() {
	options := map[string]string{kvdb.WrappersOption: string(kvdbprom.Wrapper)}
	kv, err := kvdb.New(mem.Name, "my/app", nil, options, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	fmt.Println(kv.WrapperName())
	// Output: Wrapper_Prometheus
}

// A registry of its own, with a label that tells two clusters apart.
func ExampleNew() {
	registry := prometheus.NewRegistry()
	hook, err := kvdbprom.New(prometheus.WrapRegistererWith(prometheus.Labels{"cluster": "a"}, registry))
	if err != nil {
		log.Fatal(err)
	}
	kv, err := kvdb.Open(context.Background(), kvdb.Config{Backend: mem.Name, Hooks: []kvdb.Hook{hook}})
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(families[0].GetName())
	// Output: kvdb_connections
}
