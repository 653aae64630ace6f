// Kvdb reads and changes key-value stores: bolt files, etcd, Consul and ZooKeeper.
// "kvdb help" lists its commands.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/portworx/kvdb/cmd/kvdb/internal/command"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, command.Signals...)
	os.Exit(command.Run(context.Background(), command.System(signals)))
}
