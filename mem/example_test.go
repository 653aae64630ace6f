package mem_test

import (
	"fmt"
	"log"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

func ExampleNew() {
	kv, err := mem.New("my/app", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer kvdb.Close(kv)
	pair, err := kv.Put("key", "value", 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(pair.Key, pair.ModifiedIndex)
	// Output: key 1
}
