package transfer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/transfer"
)

// store returns a store in memory with keys and values in turn.
func store(pairs ...string) kvdb.Kvdb {
	kv, err := kvdb.New(mem.Name, "my/app", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if _, err := kv.Put(pairs[i], pairs[i+1], 0); err != nil {
			log.Fatal(err)
		}
	}
	return kv
}

func ExampleCompare() {
	before, after := store("a", "1", "b", "2"), store("a", "one", "c", "3")
	for d, err := range transfer.Compare(context.Background(), before, after, transfer.CompareOptions{}) {
		switch {
		case err != nil:
			log.Fatal(err)
		case d.Old == nil:
			fmt.Println("created", d.Key())
		case d.New == nil:
			fmt.Println("deleted", d.Key())
		default:
			fmt.Printf("changed %s from %s to %s\n", d.Key(), d.Old.Value, d.New.Value)
		}
	}
	// Output:
	// changed a from 1 to one
	// deleted b
	// created c
}

func ExampleDigest() {
	sum, err := transfer.Digest(context.Background(), store("a", "1", "b", "2"), "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum.Pairs, sum.Bytes, sum.Digest[:15])
	// Output: 2 4 sha256:63662dce
}

// A store moves while a program writes to it.
func ExampleCopy() {
	source, target := store("a", "1", "b", "2"), store("b", "old", "c", "stale")
	receipt, err := transfer.Copy(context.Background(), source, target, transfer.Options{
		Delete: true, // what only the target has
		CutOver: func(context.Context) error { // the target has caught up
			if _, err := source.Put("a", "last write", 0); err != nil {
				return err
			}
			return nil // the writers have stopped
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	pair, err := target.Get("a")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(pair.Value), receipt.Deleted, receipt.Source == receipt.Target)
	// Output: last write 1 true
}

func ExamplePreflight() {
	source, target := store("a", "1", "b", "2"), store()
	for problem, err := range transfer.Preflight(context.Background(), source, target, transfer.Options{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(problem.Key, problem.Err)
	}
	// Output:
}
