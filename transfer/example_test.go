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
