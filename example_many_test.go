package kvdb_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/portworx/kvdb"
)

func ExamplePutMany() {
	kv := open()
	defer kvdb.Close(kv)
	lines := bufio.NewScanner(strings.NewReader("a 1\nb 2\nc 3\na 4\n"))
	pairs := func(yield func(*kvdb.KVPair, error) bool) {
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), " ")
			if !yield(&kvdb.KVPair{Key: key, Value: []byte(value)}, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, err)
		}
	}
	written, err := kvdb.PutMany(context.Background(), kv, pairs, kvdb.ManyOptions{})
	if err != nil {
		log.Fatalf("%v, after %d pairs", err, written.Through)
	}
	a, err := kv.Get("a")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(written.Pairs, string(a.Value))
	// Output: 4 4
}

func ExampleTxDelete() {
	kv := open()
	defer kvdb.Close(kv)
	tx, err := kv.TxNew()
	if err != nil {
		log.Fatal(err)
	}
	if err := kvdb.TxDelete(tx, "old"); err != nil {
		log.Fatal(err)
	}
	if _, err := tx.Put("new", "value", 0); err != nil {
		log.Fatal(err)
	}
	fmt.Println(tx.Commit()) // "old" did not exist, which is no error
	// Output: <nil>
}
