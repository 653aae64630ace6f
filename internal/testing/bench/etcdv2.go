package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	"github.com/portworx/kvdb/test/servers"
)

func etcdV2Suites() []suite {
	return []suite{{"etcd v2, one member", openEtcdV2}}
}

// etcdV2Bench has a server and both clients of it, which share the data.
type etcdV2Bench struct {
	ctx       context.Context
	stop      func() // ends ctx
	server    *servers.Cluster
	transport *http.Transport
	raw       client.KeysAPI
	kvs       [2]kvdb.Kvdb // two, because the waiter for a lock is not its holder
	data      data
}

func openEtcdV2(e *env) ([]row, func() error, error) {
	b := &etcdV2Bench{data: newData(2_000), transport: &http.Transport{MaxIdleConnsPerHost: 128}}
	b.ctx, b.stop = context.WithCancel(e.ctx)
	if err := b.open(e); err != nil {
		return nil, nil, errors.Join(err, b.close())
	}
	rows := append(b.pairs(), b.conditions()...)
	rows = append(rows, b.lists()...)
	rows = append(rows, e.lockRows(b.kvs, "Set with PrevNoExist and TTL, Watcher, Delete with PrevValue", "≤ 1.05", b.lock)...)
	return append(rows, b.watches()...), b.close, nil
}

func (b *etcdV2Bench) open(e *env) (err error) {
	if b.server, err = e.start(servers.Etcd35Kind); err != nil {
		return err
	}
	endpoints := []string{b.server.All()[0].Direct()}
	c, err := client.New(client.Config{Endpoints: endpoints, Transport: b.transport})
	if err != nil {
		return err
	}
	b.raw = client.NewKeysAPI(c)
	for i := range b.kvs {
		if b.kvs[i], err = kvdb.New(etcdv2.Name, "bench", endpoints, nil, nil); err != nil {
			return err
		}
	}
	return parallel(64, func(i int) error { _, err := b.kvs[0].Create(b.data.key(i), value, 0); return err })(len(b.data.keys))
}

func (b *etcdV2Bench) close() (err error) {
	b.stop()
	for _, kv := range b.kvs {
		if kv != nil {
			err = errors.Join(err, kvdb.Close(kv))
		}
	}
	b.transport.CloseIdleConnections()
	if b.server != nil {
		err = errors.Join(err, b.server.Close())
	}
	return err
}

// path returns the node of the i-th key.
func (b *etcdV2Bench) path(i int) string { return "/bench/" + b.data.key(i) }

// set writes the value to a node.
func (b *etcdV2Bench) set(path string, o client.SetOptions) (*client.Response, error) {
	return b.raw.Set(b.ctx, path, string(value), &o)
}

func (b *etcdV2Bench) pairs() []row {
	kv := b.kvs[0]
	get := func(i int) error {
		_, err := b.raw.Get(b.ctx, b.path(i), &client.GetOptions{Quorum: true})
		return err
	}
	put := func(i int) error {
		_, err := b.set(b.path(i), client.SetOptions{PrevExist: client.PrevExist})
		return err
	}
	ourGet := func(i int) error { _, err := kv.Get(b.data.key(i)); return err }
	ourPut := func(i int) error { _, err := kv.Put(b.data.key(i), value, 0); return err }
	return []row{
		{"Get", "Get with Quorum", "≤ 1.05", each(get), each(ourGet)},
		{"Get, 64 goroutines", "Get with Quorum", "≤ 1.05", parallel(64, get), parallel(64, ourGet)},
		{"Put", "Set with PrevExist", "≤ 1.05", each(put), each(ourPut)},
		{"Put, 64 goroutines", "Set with PrevExist", "≤ 1.05", parallel(64, put), parallel(64, ourPut)},
		{"Put with a TTL", "Set with PrevExist and TTL", "≤ 1.05",
			each(func(i int) error {
				_, err := b.set(b.path(i), client.SetOptions{PrevExist: client.PrevExist, TTL: time.Hour})
				return err
			}),
			each(func(i int) error { _, err := kv.Put(b.data.key(i), value, 3600); return err })},
	}
}

// conditions returns the rows of operations with conditions. Operations that create a key
// alternate with those that delete it, so that each succeeds.
func (b *etcdV2Bench) conditions() []row {
	kv := b.kvs[0]
	ourPair := func(i int) *kvdb.KVPair { return &kvdb.KVPair{Key: b.data.key(i), Value: value} }
	return []row{
		{"Create and Delete", "Set with PrevNoExist, and Delete", "≤ 1.05",
			each(func(int) error {
				if _, err := b.set("/bench/new", client.SetOptions{PrevExist: client.PrevNoExist}); err != nil {
					return err
				}
				_, err := b.raw.Delete(b.ctx, "/bench/new", nil)
				return err
			}),
			each(func(int) error {
				if _, err := kv.Create("new", value, 0); err != nil {
					return err
				}
				_, err := kv.Delete("new")
				return err
			})},
		{"Update", "Set with PrevExist", "≤ 1.05",
			each(func(i int) error {
				_, err := b.set(b.path(i), client.SetOptions{PrevExist: client.PrevExist})
				return err
			}),
			each(func(i int) error { _, err := kv.Update(b.data.key(i), value, 0); return err })},
		{"CompareAndSet", "Set with PrevValue", "≤ 1.05",
			each(func(i int) error { _, err := b.set(b.path(i), client.SetOptions{PrevValue: string(value)}); return err }),
			each(func(i int) error { _, err := kv.CompareAndSet(ourPair(i), 0, value); return err })},
		{"Create and CompareAndDelete", "Set with PrevNoExist, and Delete with PrevIndex", "≤ 1.05",
			each(func(int) error {
				reply, err := b.set("/bench/new", client.SetOptions{PrevExist: client.PrevNoExist})
				if err == nil {
					_, err = b.raw.Delete(b.ctx, "/bench/new", &client.DeleteOptions{PrevIndex: reply.Node.ModifiedIndex})
				}
				return err
			}),
			each(func(int) error {
				pair, err := kv.Create("new", value, 0)
				if err == nil {
					_, err = kv.CompareAndDelete(pair, kvdb.KVModifiedIndex)
				}
				return err
			})},
	}
}

// lists returns the rows of operations on many keys.
func (b *etcdV2Bench) lists() []row {
	kv := b.kvs[0]
	list := func(dir string) (*client.Response, error) {
		return b.raw.Get(b.ctx, "/bench/"+dir, &client.GetOptions{Recursive: true, Quorum: true})
	}
	listDir := func(i int) error {
		reply, err := list(b.data.dir(i))
		return errors.Join(err, want(reply != nil && len(reply.Node.Nodes) == perDir))
	}
	all := fmt.Sprintf("of %d", len(b.data.keys))
	return []row{
		{"Enumerate 100", "recursive Get", "≤ 1.05", each(listDir), each(enumerate(kv, b.data))},
		{"Keys of 100", "recursive Get", "≤ 1.05", each(listDir), each(keys(kv, b.data))},
		{"Enumerate " + all, "recursive Get", "≤ 1.15",
			each(func(int) error { _, err := list("dir"); return err }),
			each(func(int) error {
				pairs, err := kv.Enumerate("dir/")
				return errors.Join(err, want(len(pairs) == len(b.data.keys)))
			})},
		{"Snapshot " + all, "recursive Get", "≤ 1.2",
			each(func(int) error { _, err := list("dir"); return err }),
			each(func(int) error {
				snapshot, _, err := kv.Snapshot([]string{"dir/"}, true)
				if err != nil {
					return err
				}
				return kvdb.Close(snapshot)
			})},
		{"Create and DeleteTree", "Set with PrevNoExist, and recursive Delete", "1 request more",
			each(func(int) error {
				if _, err := b.set("/bench/tree/key", client.SetOptions{PrevExist: client.PrevNoExist}); err != nil {
					return err
				}
				_, err := b.raw.Delete(b.ctx, "/bench/tree", &client.DeleteOptions{Dir: true, Recursive: true})
				return err
			}),
			each(func(int) error {
				if _, err := kv.Create("tree/key", value, 0); err != nil {
					return err
				}
				return kv.DeleteTree("tree")
			})},
	}
}

// lock obtains a lock with the raw client.
func (b *etcdV2Bench) lock(of int, name string) (unlock func() error, err error) {
	path, owner := "/bench/raw-"+name, fmt.Sprint("client-", of)
	for {
		_, err := b.raw.Set(b.ctx, path, owner, &client.SetOptions{PrevExist: client.PrevNoExist, TTL: time.Minute})
		if err == nil {
			return func() error {
				_, err := b.raw.Delete(b.ctx, path, &client.DeleteOptions{PrevValue: owner})
				return err
			}, nil
		}
		var held client.Error
		if !errors.As(err, &held) || held.Code != client.ErrorCodeNodeExist {
			return nil, err
		}
		if _, err := b.raw.Watcher(path, &client.WatcherOptions{AfterIndex: held.Index}).Next(b.ctx); err != nil {
			return nil, err
		}
	}
}

// watches measures the time from a write to its event, and from the first of many writes to
// the last event. The watches start when they are needed, because the server's history is
// short: a watch that connects again after 1000 events ends.
func (b *etcdV2Bench) watches() []row {
	const rawPath, ourPath = "/bench/raw-watched", "/bench/watched"
	raws, ours := make(chan struct{}, 1<<16), make(chan struct{}, 1<<16)
	start := sync.OnceValue(func() error { return errors.Join(b.watchRaw(rawPath, raws), b.watch("watched", ours)) })
	receive := func(events <-chan struct{}) error {
		_, ok := <-events
		return want(ok)
	}
	awaiting := func(path string, events <-chan struct{}) work {
		return each(func(int) error {
			err := start()
			if err == nil {
				_, err = b.set(path, client.SetOptions{})
			}
			if err == nil {
				err = receive(events)
			}
			return err
		})
	}
	streaming := func(path string, events <-chan struct{}) work {
		writes := parallel(64, func(int) error { _, err := b.set(path, client.SetOptions{}); return err })
		return func(n int) error {
			if err := errors.Join(start(), writes(n)); err != nil {
				return err
			}
			for range n {
				if err := receive(events); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return []row{
		{"write to event", "Watcher", "≤ 1.1", awaiting(rawPath, raws), awaiting(ourPath, ours)},
		{"events of 64 writers", "Watcher", "≤ 1.05", streaming(rawPath, raws), streaming(ourPath, ours)},
	}
}

func (b *etcdV2Bench) watchRaw(path string, events chan<- struct{}) error {
	first, err := b.set(path, client.SetOptions{})
	if err != nil {
		return err
	}
	go func() {
		defer close(events)
		watcher := b.raw.Watcher(path, &client.WatcherOptions{AfterIndex: first.Node.ModifiedIndex})
		for {
			if _, err := watcher.Next(b.ctx); err != nil {
				return
			}
			events <- struct{}{}
		}
	}()
	return nil
}

func (b *etcdV2Bench) watch(prefix string, events chan<- struct{}) error {
	return b.kvs[0].WatchTree(prefix, 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
		if err != nil {
			close(events)
			return err
		}
		events <- struct{}{}
		return nil
	})
}
