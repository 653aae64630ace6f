// Health is a daemon that says whether it lives, and whether it is ready, as orchestrators
// ask: curl localhost:8080/readyz. Run `go run ./examples/health http://127.0.0.1:2379`.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/portworx/kvdb"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	kv, err := etcdv3.New("example/health", os.Args[1:], nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(serve(ctx, kv, listener), kvdb.Close(kv)); err != nil {
		log.Fatal(err)
	}
}

// serve answers probes until ctx ends.
func serve(ctx context.Context, kv kvdb.Kvdb, listener net.Listener) error {
	server := &http.Server{Handler: probes(kv), ReadHeaderTimeout: time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// probes returns a handler with two probes.
func probes(kv kvdb.Kvdb) http.Handler {
	mux := http.NewServeMux()
	// A restart of the daemon does not bring the store back, so this one does not ask it.
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	// While the store does not answer, requests had better go to another replica.
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := kvdb.Ping(ctx, kv); err != nil {
			http.Error(w, string(kvdb.OutcomeOf(err)), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}
