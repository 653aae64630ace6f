package kvdb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

// open returns the store of an example.
func open() kvdb.Kvdb {
	kv, err := kvdb.New(mem.Name, "example", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	return kv
}

type volume struct{ Size int }

func Example() {
	kv, err := kvdb.New(mem.Name, "my/app", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)

	if _, err := kv.Put("volumes/a", volume{Size: 10}, 0); err != nil {
		log.Fatal(err)
	}
	pair, err := kv.Get("volumes/a")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s = %s\n", pair.Key, pair.Value)

	_, err = kv.Get("volumes/b")
	fmt.Println(errors.Is(err, kvdb.ErrNotFound))
	// Output:
	// volumes/a = {"Size":10}
	// true
}

func ExampleKvdb_compareAndSet() {
	kv := open()
	defer kvdb.Close(kv)

	// With ModifiedIndex 0 the key must not exist yet.
	first, err := kv.CompareAndSet(&kvdb.KVPair{Key: "leader", Value: []byte("a")}, kvdb.KVModifiedIndex, nil)
	if err != nil {
		log.Fatal(err)
	}
	first.Value = []byte("b")
	if _, err := kv.CompareAndSet(first, kvdb.KVModifiedIndex, nil); err != nil {
		log.Fatal(err)
	}
	_, err = kv.CompareAndSet(first, kvdb.KVModifiedIndex, nil)
	fmt.Println("with the first index again:", err)
	// Output: with the first index again: Key Index mismatch
}

func ExampleKvdb_enumerate() {
	kv := open()
	defer kvdb.Close(kv)
	for _, key := range []string{"hosts/b", "hosts/a", "hosts_old/c", "hosts/_hidden"} {
		if _, err := kv.Put(key, "up", 0); err != nil {
			log.Fatal(err)
		}
	}
	pairs, err := kv.Enumerate("hosts") // a string prefix, not a directory
	if err != nil {
		log.Fatal(err)
	}
	for _, pair := range pairs {
		fmt.Printf("%s = %s, written at index %d\n", pair.Key, pair.Value, pair.ModifiedIndex)
	}
	// Output:
	// hosts/a = up, written at index 2
	// hosts/b = up, written at index 1
	// hosts_old/c = up, written at index 3
}

func ExampleKvdb_keys() {
	kv := open()
	defer kvdb.Close(kv)
	for _, key := range []string{"hosts/a/cpu", "hosts/a/disk", "hosts/b", "hosts_old/c"} {
		if _, err := kv.Put(key, "", 0); err != nil {
			log.Fatal(err)
		}
	}
	names, err := kv.Keys("hosts", "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(names)
	// Output: [a b]
}

func ExampleKvdb_watchTree() {
	kv := open()
	defer kvdb.Close(kv)
	done := make(chan struct{})
	err := kv.WatchTree("jobs/", 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err != nil { // the watch is over
			fmt.Println(err)
			close(done)
			return err
		}
		fmt.Println(pair.Key, pair.Action == kvdb.KVDelete)
		if pair.Action == kvdb.KVDelete {
			return errors.New("enough seen")
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := kv.Create("jobs/1", "run", 0); err != nil {
		log.Fatal(err)
	}
	if _, err := kv.Delete("jobs/1"); err != nil {
		log.Fatal(err)
	}
	<-done
	// Output:
	// jobs/1 false
	// jobs/1 true
	// Watch Stopped
}

func ExampleKvdb_lockWithID() {
	kv := open()
	defer kvdb.Close(kv)
	pair, err := kv.LockWithID("backup", "host-1")
	if err != nil {
		log.Fatal(err)
	}
	lock := pair.Lock.(kvdb.HeldLock)
	select {
	case <-lock.Lost():
		fmt.Println("stop at once: somebody else may hold the lock")
	default:
		fmt.Println("held, with the fencing token", lock.Token())
	}
	_, err = kv.LockWithTimeout("backup", "host-2", 0, 0)
	fmt.Println(err)
	if err := kv.Unlock(pair); err != nil {
		log.Fatal(err)
	}
	// Output:
	// held, with the fencing token 1
	// Key already exists: lock "backup" is held by "host-1", not obtained within 0s
}

func ExampleKvdb_txNew() {
	kv := open()
	defer kvdb.Close(kv)
	if _, err := kv.Put("stock", 3, 0); err != nil {
		log.Fatal(err)
	}
	tx, err := kv.TxNew()
	if err != nil {
		log.Fatal(err)
	}
	var stock int
	if _, err := tx.GetVal("stock", &stock); err != nil {
		log.Fatal(err)
	}
	if _, err := tx.Put("stock", stock-1, 0); err != nil {
		log.Fatal(err)
	}
	if _, err := tx.Put("orders/1", "one piece", 0); err != nil {
		log.Fatal(err)
	}
	// Another client is faster:
	if _, err := kv.Put("stock", 0, 0); err != nil {
		log.Fatal(err)
	}
	fmt.Println(tx.Commit())
	// Output: Key Index mismatch
}

func ExampleTxGuard() {
	kv := open()
	defer kvdb.Close(kv)
	lock, err := kv.Lock("leader")
	if err != nil {
		log.Fatal(err)
	}
	write := func() error {
		tx, err := kv.TxNew()
		if err != nil {
			return err
		}
		if err := kvdb.TxGuard(tx, lock); err != nil {
			return err
		}
		if _, err := tx.Put("state", "mine", 0); err != nil {
			return err
		}
		return tx.Commit()
	}
	fmt.Println(write())
	if err := kv.Unlock(lock); err != nil {
		log.Fatal(err)
	}
	fmt.Println(write())
	// Output:
	// <nil>
	// Invalid lock/unlock operation
}

func ExampleKvdb_snapshot() {
	kv := open()
	defer kvdb.Close(kv)
	if _, err := kv.Put("a", "1", 0); err != nil {
		log.Fatal(err)
	}
	snapshot, index, err := kv.Snapshot(nil, true)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := kv.Put("b", "2", 0); err != nil {
		log.Fatal(err)
	}
	pairs, err := snapshot.Enumerate("")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("in the snapshot:", len(pairs))

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	events, err := kvdb.Events(ctx, kv, "", index)
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range events {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("written later:", event.Key)
		break
	}
	// Output:
	// in the snapshot: 1
	// written later: b
}

func ExampleWatchBatches() {
	kv := open()
	defer kvdb.Close(kv)
	done := make(chan struct{})
	err := kvdb.WatchBatches(kv, "jobs/", 0, func(events kvdb.KVPairs, err error) error {
		for _, event := range events {
			fmt.Println(event.Key)
		}
		if err == nil && events[len(events)-1].Key == "jobs/2" {
			close(done)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []string{"jobs/1", "jobs/2"} {
		if _, err := kv.Create(key, "run", 0); err != nil {
			log.Fatal(err)
		}
	}
	<-done
	// Output:
	// jobs/1
	// jobs/2
}

func ExampleEventBatches() {
	kv := open()
	defer kvdb.Close(kv)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	batches, err := kvdb.EventBatches(ctx, kv, "jobs/", 0)
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []string{"jobs/1", "jobs/2"} {
		if _, err := kv.Create(key, "run", 0); err != nil {
			log.Fatal(err)
		}
	}
	seen := 0
	for events, err := range batches {
		if err != nil { // the watch is over
			log.Fatal(err)
		}
		if seen += len(events); seen == 2 {
			break // stops the watch
		}
	}
	fmt.Println(seen, "events")
	// Output: 2 events
}

func ExampleEvents() {
	kv := open()
	defer kvdb.Close(kv)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	events, err := kvdb.Events(ctx, kv, "jobs/", 0)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := kv.Create("jobs/1", "run", 0); err != nil {
		log.Fatal(err)
	}
	if _, err := kv.Delete("jobs/1"); err != nil {
		log.Fatal(err)
	}
	for event, err := range events {
		if err != nil { // the watch is over
			log.Fatal(err)
		}
		if event.Action == kvdb.KVDelete {
			fmt.Println("deleted:", event.Key)
			break // stops the watch
		}
		fmt.Printf("created: %s = %s\n", event.Key, event.Value)
	}
	// Output:
	// created: jobs/1 = run
	// deleted: jobs/1
}

func ExamplePairs() {
	kv := open()
	defer kvdb.Close(kv)
	for i := range 3 {
		if _, err := kv.Put(fmt.Sprintf("volumes/%d", i), i, 0); err != nil {
			log.Fatal(err)
		}
	}
	for pair, err := range kvdb.Pairs(kv, "volumes/") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(pair.Key)
	}
	// Output:
	// volumes/0
	// volumes/1
	// volumes/2
}

func ExamplePairsWith() {
	kv := open()
	defer kvdb.Close(kv)
	for _, key := range []string{"volumes/0", "volumes/1", "volumes/_next", "volumes/2"} {
		if _, err := kv.Put(key, "a large value", 0); err != nil {
			log.Fatal(err)
		}
	}
	all := kvdb.PageOptions{Hidden: true, KeysOnly: true, From: "volumes/1"}
	for pair, err := range kvdb.PairsWith(kv, "volumes/", all) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(pair.Key, len(pair.Value))
	}
	// Output:
	// volumes/1 0
	// volumes/2 0
	// volumes/_next 0
}

func ExampleTTLOf() {
	kv := open()
	defer kvdb.Close(kv)
	if _, err := kv.Put("session", "me", 60); err != nil {
		log.Fatal(err)
	}
	remaining, has, err := kvdb.TTLOf(kv, "session")
	fmt.Println(remaining.Round(time.Second), has, err)
	// Output: 1m0s true <nil>
}

func ExampleModifyAs() {
	kv := open()
	defer kvdb.Close(kv)
	grow := func(v volume, _ bool) (volume, error) {
		v.Size += 10
		return v, nil
	}
	for range 2 {
		if _, err := kvdb.ModifyAs(kv, "volumes/a", grow); err != nil {
			log.Fatal(err)
		}
	}
	v, _, err := kvdb.GetAs[volume](kv, "volumes/a")
	fmt.Println(v.Size, err)
	// Output: 20 <nil>
}

func ExampleWithContext() {
	kv := open()
	defer kvdb.Close(kv)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := kvdb.WithContext(ctx, kv).Get("key")
	fmt.Println(errors.Is(err, context.Canceled))
	// Output: true
}
