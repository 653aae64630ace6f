package main

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/zookeeper"
)

func zookeeperSuites() []suite {
	return []suite{{"ZooKeeper, one server", openZooKeeper}}
}

// zookeeperBench has a server and both clients of it, which share the data.
type zookeeperBench struct {
	server *servers.Cluster
	// Two of each, because the waiter for a lock is not the client that holds it. raw and
	// kv are the first ones.
	raws   [2]*zk.Conn
	events [2]<-chan zk.Event
	kvs    [2]kvdb.Kvdb
	raw    *zk.Conn
	kv     kvdb.Kvdb
	data   data
}

type noLog struct{}

func (noLog) Printf(string, ...interface{}) {}

func openZooKeeper(e *env) ([]row, func() error, error) {
	b := &zookeeperBench{data: newData(10_000)}
	if err := b.open(e); err != nil {
		return nil, nil, errors.Join(err, b.close())
	}
	return slices.Concat(b.pairs(), b.conditions(), b.lists(), e.lockRows(b.kvs, "the client's Lock", "≤ 1.0", b.lock)), b.close, nil
}

func (b *zookeeperBench) open(e *env) (err error) {
	if b.server, err = e.start(servers.ZooKeeperKind); err != nil {
		return err
	}
	endpoint := b.server.All()[0].Direct()
	for i := range b.raws {
		if b.raws[i], b.events[i], err = zk.Connect([]string{endpoint}, 20*time.Second, zk.WithLogger(noLog{})); err != nil {
			return err
		}
		if b.kvs[i], err = kvdb.New(zookeeper.Name, "bench", []string{endpoint}, nil, nil); err != nil {
			return err
		}
	}
	b.raw, b.kv = b.raws[0], b.kvs[0]
	for batch := range slices.Chunk(b.data.keys, 500) {
		tx, err := b.kv.TxNew()
		if err != nil {
			return err
		}
		for _, key := range batch {
			if _, err := tx.Put(key, value, 0); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func (b *zookeeperBench) close() (err error) {
	for i := range b.raws {
		if b.raws[i] != nil {
			b.raws[i].Close()
			for range b.events[i] {
			}
		}
		if b.kvs[i] != nil {
			err = errors.Join(err, kvdb.Close(b.kvs[i]))
		}
	}
	if b.server != nil {
		err = errors.Join(err, b.server.Close())
	}
	return err
}

// path returns the znode of the i-th key.
func (b *zookeeperBench) path(i int) string { return "/bench/" + b.data.key(i) }

func (b *zookeeperBench) pairs() []row {
	get := func(i int) error {
		if _, err := b.raw.Sync(b.path(i)); err != nil {
			return err
		}
		_, _, err := b.raw.Get(b.path(i))
		return err
	}
	put := func(i int) error { _, err := b.raw.Set(b.path(i), value, -1); return err }
	ourGet := func(i int) error { _, err := b.kv.Get(b.data.key(i)); return err }
	ourPut := func(i int) error { _, err := b.kv.Put(b.data.key(i), value, 0); return err }
	return []row{
		{"Get", "sync, then get", "≤ 1.05", each(get), each(ourGet)},
		{"Get, 64 goroutines", "sync, then get", "≤ 1.05", parallel(64, get), parallel(64, ourGet)},
		{"Put", "set", "≤ 1.05", each(put), each(ourPut)},
		{"Put, 64 goroutines", "set", "≤ 1.05", parallel(64, put), parallel(64, ourPut)},
	}
}

func (b *zookeeperBench) conditions() []row {
	acl := zk.WorldACL(zk.PermAll)
	pair := &kvdb.KVPair{Key: "cas", Value: value}
	return []row{
		{"Create and Delete", "create; get and delete", "≤ 1.05",
			each(func(int) error {
				if _, err := b.raw.Create("/bench/raw", value, 0, acl); err != nil {
					return err
				}
				_, stat, err := b.raw.Get("/bench/raw")
				if err != nil {
					return err
				}
				return b.raw.Delete("/bench/raw", stat.Version)
			}),
			each(func(int) error {
				if _, err := b.kv.Create("new", value, 0); err != nil {
					return err
				}
				_, err := b.kv.Delete("new")
				return err
			})},
		{"Update", "exists, then set of its version", "≤ 1.05",
			each(func(i int) error {
				_, stat, err := b.raw.Exists(b.path(i))
				if err != nil {
					return err
				}
				_, err = b.raw.Set(b.path(i), value, stat.Version)
				return err
			}),
			each(func(i int) error { _, err := b.kv.Update(b.data.key(i), value, 0); return err })},
		{"CompareAndSet, by index", "exists, and set of its version", "≤ 1.05",
			each(func(i int) error {
				_, stat, err := b.raw.Exists(b.path(i))
				if err != nil {
					return err
				}
				_, err = b.raw.Set(b.path(i), value, stat.Version)
				return err
			}),
			each(func(int) (err error) {
				pair, err = b.kv.CompareAndSet(pair, kvdb.KVModifiedIndex, nil)
				return err
			})},
	}
}

// rawList reads a directory with 64 concurrent gets, rawKeys with 64 concurrent exists.
func (b *zookeeperBench) rawList(i int) error {
	return b.rawRead(i, func(path string) error { _, _, err := b.raw.Get(path); return err })
}

func (b *zookeeperBench) rawKeys(i int) error {
	return b.rawRead(i, func(path string) error { _, _, err := b.raw.Exists(path); return err })
}

func (b *zookeeperBench) rawRead(i int, read func(path string) error) error {
	dir := "/bench/" + b.data.dir(i)
	if _, err := b.raw.Sync(dir); err != nil {
		return err
	}
	names, _, err := b.raw.Children(dir)
	if err != nil {
		return err
	}
	errs := make([]error, 64)
	var wait sync.WaitGroup
	for g := range errs {
		wait.Go(func() {
			for n := g; n < len(names) && errs[g] == nil; n += len(errs) {
				errs[g] = read(dir + "/" + names[n])
			}
		})
	}
	wait.Wait()
	return errors.Join(append(errs, wantLen(len(names)))...)
}

func (b *zookeeperBench) lock(client int, name string) (unlock func() error, err error) {
	l := zk.NewLock(b.raws[client], "/raw-"+name, zk.WorldACL(zk.PermAll))
	return l.Unlock, l.Lock()
}

func (b *zookeeperBench) lists() []row {
	return []row{
		{"Keys of 100", "sync, children, pipelined exists", "≤ 1.3", each(b.rawKeys),
			each(func(i int) error {
				names, err := b.kv.Keys(b.data.dir(i), "")
				return errors.Join(err, wantLen(len(names)))
			})},
		{"Enumerate 100", "sync, children, pipelined gets", "≤ 1.3", each(b.rawList), each(enumerate(b.kv, b.data))},
	}
}
