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
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if err := run(ctx, fmt.Sprint("daemon-", os.Getpid()), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, name string, endpoints []string) error {
	kv, err := etcdv3.New("example/leader", endpoints, nil, nil)
	if err != nil {
		return err
	}
	go follow(ctx, kv, name)
	for ; ctx.Err() == nil; time.Sleep(time.Second) {
		lock, err := kvdb.WithContext(ctx, kv).LockWithTimeout("leader", name, time.Minute, 0)
		if err == nil {
			err = errors.Join(lead(ctx, kvdb.WithContext(ctx, kv), name, lock), kv.Unlock(lock))
		} // otherwise another process leads, or the store cannot be reached
		log.Printf("%s waits: %v", name, err)
	}
	return kvdb.Close(kv)
}

// lead works while the lock is held. The store applies a transaction only if the lock is held.
// The token shows programs outside of the store which of two leaders is the later one.
func lead(ctx context.Context, kv kvdb.Kvdb, name string, lock *kvdb.KVPair) error {
	held := lock.Lock.(kvdb.HeldLock)
	for n := 1; ; n++ {
		tx, err := kv.TxNew()
		if err == nil {
			_, err = tx.Put("work", fmt.Sprintf("piece %d by %s, token %d", n, name, held.Token()), 0)
			if err = errors.Join(err, kvdb.TxGuard(tx, lock)); err == nil {
				err = tx.Commit()
			}
		}
		if err != nil {
			return err
		}
		select { // after the last two the next transaction fails
		case <-time.After(time.Second):
		case <-held.Lost():
		case <-ctx.Done():
		}
	}
}

// follow logs the work of the leaders. A new watch begins where the previous one ended.
func follow(ctx context.Context, kv kvdb.Kvdb, name string) {
	for last := uint64(0); ctx.Err() == nil; time.Sleep(time.Second) {
		if events, err := kvdb.Events(ctx, kv, "work", last); err == nil {
			for pair, err := range events {
				if err == nil {
					last = pair.ModifiedIndex
					log.Printf("%s sees: %s", name, pair.Value)
				} else if errors.Is(err, kvdb.ErrWatchRevisionCompacted) {
					last = 0
				}
			}
		}
	}
}
