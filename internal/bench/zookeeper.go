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

// zookeeperBench is a server, and both clients of it, which share the data.
type zookeeperBench struct {
	server *servers.Cluster
	raw    *zk.Conn
	events <-chan zk.Event
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
	return slices.Concat(b.pairs(), b.conditions(), b.others()), b.close, nil
}

func (b *zookeeperBench) open(e *env) (err error) {
	if b.server, err = e.start(servers.ZooKeeperKind); err != nil {
		return err
	}
	endpoint := b.server.All()[0].Direct()
	if b.raw, b.events, err = zk.Connect([]string{endpoint}, 20*time.Second, zk.WithLogger(noLog{})); err != nil {
		return err
	}
	if b.kv, err = kvdb.New(zookeeper.Name, "bench", []string{endpoint}, nil, nil); err != nil {
		return err
	}
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
	if b.raw != nil {
		b.raw.Close()
		for range b.events {
		}
	}
	if b.kv != nil {
		err = kvdb.Close(b.kv)
	}
	if b.server != nil {
		err = errors.Join(err, b.server.Close())
	}
	return err
}

// path is the znode of the i-th key.
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

// rawList reads a directory with 64 gets at a time, rawKeys with as many exists.
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

func (b *zookeeperBench) others() []row {
	acl := zk.WorldACL(zk.PermAll)
	return []row{
		{"Keys of 100", "sync, children, pipelined exists", "≤ 1.3", each(b.rawKeys),
			each(func(i int) error {
				names, err := b.kv.Keys(b.data.dir(i), "")
				return errors.Join(err, wantLen(len(names)))
			})},
		{"Enumerate 100", "sync, children, pipelined gets", "≤ 1.3", each(b.rawList), each(enumerate(b.kv, b.data))},
		{"lock and unlock", "create of an ephemeral, delete", "—",
			each(func(int) error {
				if _, err := b.raw.Create("/bench/lock-raw", value, zk.FlagEphemeral, acl); err != nil {
					return err
				}
				return b.raw.Delete("/bench/lock-raw", -1)
			}),
			each(func(int) error {
				pair, err := b.kv.Lock("lock")
				if err != nil {
					return err
				}
				return b.kv.Unlock(pair)
			})},
	}
}
