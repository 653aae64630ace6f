// Leader is a daemon: of several processes one is the leader and does the work, and the
// others wait. Run `go run ./examples/leader http://127.0.0.1:2379` several times, and end
// the leader.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/election"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if err := run(ctx, fmt.Sprint("daemon-", os.Getpid()), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

// run is a candidate until ctx ends.
func run(ctx context.Context, name string, endpoints []string) error {
	kv, err := etcdv3.New("example/leader", endpoints, nil, nil)
	if err != nil {
		return err
	}
	go follow(ctx, kv, name)
	err = election.Run(ctx, kv, "leader", name, func(ctx context.Context, term election.Term) error {
		return lead(ctx, kvdb.WithContext(ctx, kv), term)
	})
	if ctx.Err() != nil { // the process is asked to end, which is no error
		err = nil
	}
	return errors.Join(err, kvdb.Close(kv))
}

// lead works as long as ctx allows. The store applies a transaction only if the lock is held.
// The token shows programs outside of the store which of two leaders is the later one.
func lead(ctx context.Context, kv kvdb.Kvdb, term election.Term) error {
	for n := 1; ctx.Err() == nil; n++ {
		tx, err := kv.TxNew()
		if err == nil {
			_, err = tx.Put("work", fmt.Sprintf("piece %d by %s, token %d", n, term.ID, term.Token), 0)
			if err = errors.Join(err, kvdb.TxGuard(tx, term.Lock)); err == nil {
				err = tx.Commit()
			}
		}
		if err != nil {
			log.Printf("%s did not work: %v", term.ID, err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

// follow logs who leads.
func follow(ctx context.Context, kv kvdb.Kvdb, name string) {
	for leader, err := range election.Observe(ctx, kv, "leader") {
		if err != nil {
			log.Printf("%s does not know who leads: %v", name, err)
		} else {
			log.Printf("%s sees the leader %q, token %d", name, leader.ID, leader.Token)
		}
	}
}
