package bolt_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
)

func ExampleNew() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	options := map[string]string{bolt.Path: filepath.Join(dir, "app.db")}
	for range 2 {
		kv, err := bolt.New("my/app", nil, options, nil)
		if err != nil {
			log.Fatal(err)
		}
		pair, err := kv.Put("key", "value", 0)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(pair.ModifiedIndex, pair.CreatedIndex)
		if err := kvdb.Close(kv); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 1 1
	// 2 1
}
