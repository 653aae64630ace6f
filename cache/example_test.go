package cache_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cache"
	"github.com/portworx/kvdb/mem"
)

// store returns a store with two volumes.
func store() kvdb.Kvdb {
	kv, err := kvdb.New(mem.Name, "app", nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	for key, size := range map[string]int{"volumes/a": 10, "volumes/b": 20} {
		if _, err := kv.Put(key, volume{size}, 0); err != nil {
			log.Fatal(err)
		}
	}
	return kv
}

type volume struct{ Size int }

func ExampleNew() {
	kv := store()
	defer kvdb.Close(kv)
	c, err := cache.New(context.Background(), kv, "volumes/", cache.Options{
		OnError: func(err error) { log.Println("cache:", err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	pair, err := c.Get("volumes/a") // no request
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", pair.Value)
	for key := range c.Range("volumes/") {
		fmt.Println(key)
	}
	// Output:
	// {"Size":10}
	// volumes/a
	// volumes/b
}

func ExampleNewOf() {
	kv := store()
	defer kvdb.Close(kv)
	volumes, err := cache.NewOf[volume](context.Background(), kv, "volumes/", cache.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer volumes.Close()
	sum := 0
	for typed, err := range volumes.Range("volumes/") {
		if err != nil {
			log.Fatal(err)
		}
		sum += typed.Value.Size
	}
	fmt.Println(sum)
	// Output: 30
}

func ExampleCache_WaitFor() {
	kv := store()
	defer kvdb.Close(kv)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	volumes, err := cache.NewOf[volume](ctx, kv, "volumes/", cache.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer volumes.Close()
	pair, err := kv.Put("volumes/a", volume{11}, 0)
	if err != nil {
		log.Fatal(err)
	}
	if err := volumes.WaitFor(ctx, pair.ModifiedIndex); err != nil {
		log.Fatal(err)
	}
	v, _, err := volumes.Get("volumes/a")
	fmt.Println(v.Size, err)
	// Output: 11 <nil>
}

func ExampleCache_Subscribe() {
	kv := store()
	defer kvdb.Close(kv)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := cache.New(ctx, kv, "volumes/", cache.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	state, changes := c.Subscribe(ctx)
	fmt.Println(state.Len(), "volumes")
	if _, err := kv.Delete("volumes/a"); err != nil {
		log.Fatal(err)
	}
	for change, err := range changes {
		if err != nil {
			log.Fatal(err)
		}
		if change.New == nil {
			fmt.Println("deleted:", change.Old.Key)
		}
		break // ends the subscription
	}
	// Output:
	// 2 volumes
	// deleted: volumes/a
}

func ExampleCache_View() {
	kv := store()
	defer kvdb.Close(kv)
	c, err := cache.New(context.Background(), kv, "volumes/", cache.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	view := c.View()
	if err := kv.DeleteTree("volumes"); err != nil {
		log.Fatal(err)
	}
	_, errA := view.Get("volumes/a")
	_, errB := view.Get("volumes/b")
	fmt.Println(errA, errB, view.Len()) // the view does not change
	// Output: <nil> <nil> 2
}
