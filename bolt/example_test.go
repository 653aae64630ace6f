package bolt_test

import (
	"errors"
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

func ExampleCheck() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "app.db")
	if err := os.WriteFile(path, []byte("not a database"), 0o600); err != nil {
		log.Fatal(err)
	}
	problems, err := bolt.Check(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(problems), errors.Is(problems[0], bolt.ErrCorrupt))
	// Output: 1 true
}
