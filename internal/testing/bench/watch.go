package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/portworx/kvdb"
)

// watchSuite measures the cost of watches for the writers of a store. open returns an empty
// store.
func watchSuite(name string, open func(dir string) (kvdb.Kvdb, error)) suite {
	return suite{name, func(e *env) ([]row, func() error, error) {
		var kvs []kvdb.Kvdb
		closeAll := func() (err error) {
			for _, kv := range kvs {
				err = errors.Join(err, kvdb.Close(kv))
			}
			return err
		}
		var rows []row
		for _, n := range []int{0, 100, 10_000} {
			kv, err := open(filepath.Join(e.dir, fmt.Sprint(n)))
			if err != nil {
				return nil, nil, err
			}
			kvs = append(kvs, kv)
			if err := sleep(kv, n); err != nil {
				return nil, nil, err
			}
			if n > 0 {
				rows = append(rows, row{
					fmt.Sprintf("Put, %d watches of other keys", n), "kvdb without watches", "≤ 1.2",
					each(putOne(kvs[0])), each(putOne(kv)),
				})
			}
		}
		return rows, closeAll, nil
	}}
}

// deliverySuite measures the time that deliveries to watches take.
func deliverySuite(name string, open func() (kvdb.Kvdb, error)) suite {
	return suite{name, func(*env) ([]row, func() error, error) {
		kv, err := open()
		if err != nil {
			return nil, nil, err
		}
		watched, err := fanOut(kv)
		if err != nil {
			return nil, nil, err
		}
		channels, stop := rawFanOut()
		rows := []row{{
			fmt.Sprintf("one delivery of an event to %d watches", watchers),
			"one send to as many channels", "< 1 µs", channels, watched,
		}}
		return rows, func() error { stop(); return kvdb.Close(kv) }, nil
	}}
}

// busyKey is the key that fanOut writes and watches.
const busyKey = "busy/key"

func putOne(kv kvdb.Kvdb) func(i int) error {
	return func(int) error { _, err := kv.Put(busyKey, value, 0); return err }
}

// sleep starts n watches, of keys and of trees, that get no events.
func sleep(kv kvdb.Kvdb, n int) error {
	ignore := func(string, interface{}, *kvdb.KVPair, error) error { return nil }
	for i := range n {
		watch := kv.WatchKey
		if i%2 == 1 {
			watch = kv.WatchTree
		}
		if err := watch(fmt.Sprintf("quiet/%d", i), 0, nil, ignore); err != nil {
			return err
		}
	}
	return nil
}

// watchers is the number of watches of one key.
const watchers = 100

// counter waits for a number of deliveries.
type counter struct {
	left atomic.Int64
	done chan struct{} // has an element when left has become 0
}

func newCounter() *counter { return &counter{done: make(chan struct{}, 1)} }

func (c *counter) delivered() {
	if c.left.Add(-1) == 0 {
		c.done <- struct{}{}
	}
}

// deliver calls send until it has caused n deliveries, and waits for them.
func (c *counter) deliver(n int, send func() error) error {
	events := (n + watchers - 1) / watchers
	c.left.Store(int64(events * watchers))
	for range events {
		if err := send(); err != nil {
			return err
		}
	}
	<-c.done
	return nil
}

// fanOut writes a key that many watches watch.
func fanOut(kv kvdb.Kvdb) (work, error) {
	c := newCounter()
	count := func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
		if err == nil {
			c.delivered()
		}
		return err
	}
	for range watchers {
		if err := kv.WatchKey(busyKey, 0, nil, count); err != nil {
			return nil, err
		}
	}
	put := putOne(kv)
	return func(n int) error { return c.deliver(n, func() error { return put(0) }) }, nil
}

// rawFanOut sends to channels, each of which has a goroutine that receives.
func rawFanOut() (work, context.CancelFunc) {
	c := newCounter()
	ctx, stop := context.WithCancel(context.Background())
	channels := make([]chan []byte, watchers)
	for i := range channels {
		channels[i] = make(chan []byte, 64)
		go func() {
			for {
				select {
				case <-channels[i]:
					c.delivered()
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	send := func() error {
		for _, ch := range channels {
			ch <- value
		}
		return nil
	}
	return func(n int) error { return c.deliver(n, send) }, stop
}
