package backup_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/backup"
	"github.com/portworx/kvdb/mem"
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

func ExampleWrite() {
	var b bytes.Buffer
	if _, err := backup.Write(context.Background(), &b, store("a", "1", "b", "2"), backup.Options{}); err != nil {
		log.Fatal(err)
	}
	info, err := backup.Verify(&b)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Backend, info.Domain, info.Pairs, info.Bytes)
	// Output: kv-mem my/app 2 4
}

func ExampleCreate() {
	dir, err := os.MkdirTemp("", "backup")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	info, err := backup.Create(context.Background(), filepath.Join(dir, "backup.tar.gz"), store("a", "1"), backup.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Pairs)
	// Output: 1
}

func ExamplePairs() {
	var b bytes.Buffer
	if _, err := backup.Write(context.Background(), &b, store("a", "1", "b", "2"), backup.Options{}); err != nil {
		log.Fatal(err)
	}
	for pair, err := range backup.Pairs(bytes.NewReader(b.Bytes())) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s=%s\n", pair.Key, pair.Value)
	}
	// Output:
	// a=1
	// b=2
}

func ExampleRestore() {
	var b bytes.Buffer
	if _, err := backup.Write(context.Background(), &b, store("a", "1", "b", "2"), backup.Options{}); err != nil {
		log.Fatal(err)
	}
	target := store("a", "1", "c", "3")
	restored, err := backup.Restore(context.Background(), target, bytes.NewReader(b.Bytes()), backup.RestoreOptions{Prune: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(restored.Created, restored.Unchanged, restored.Deleted)
	// Output: 1 1 1
}
