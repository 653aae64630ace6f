// Kvdb reads and changes key-value stores: bolt files, etcd, Consul and ZooKeeper.
// "kvdb help" lists its commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/portworx/kvdb/cmd/kvdb/internal/command"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	os.Exit(command.Run(context.Background(), command.System(signals)))
}
