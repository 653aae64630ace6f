package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/zookeeper"
)

// manySuites measure kvdb.PutMany against single writes of the same store. All write new keys.
func manySuites() []suite {
	return []suite{
		manySuite("mem", false, func(*env) (kvdb.Kvdb, error) { return newMem() }),
		manySuite("bolt", true, func(e *env) (kvdb.Kvdb, error) { return newBolt(filepath.Join(e.dir, "kvdb.db")) }),
		manySuite("etcd v3", true, onServer(servers.EtcdKind, etcdv3.Name)),
		manySuite("etcd v2", false, onServer(servers.Etcd35Kind, etcdv2.Name)),
		manySuite("Consul", true, onServer(servers.ConsulKind, consul.Name)),
		manySuite("ZooKeeper", true, onServer(servers.ZooKeeperKind, zookeeper.Name)),
	}
}

// onServer returns a function that opens a store on a new server.
func onServer(kind servers.Kind, name string) func(e *env) (kvdb.Kvdb, error) {
	return func(e *env) (kvdb.Kvdb, error) {
		server, err := e.start(kind)
		if err != nil {
			return nil, err
		}
		return kvdb.New(name, "bench", []string{server.All()[0].Direct()}, nil, nil)
	}
}

// manySuite measures the store that open returns. transactions means that they make PutMany faster:
// there is a round trip or a sync to save.
func manySuite(name string, transactions bool, open func(e *env) (kvdb.Kvdb, error)) suite {
	return suite{name + ", many pairs", func(e *env) ([]row, func() error, error) {
		closeServer := func() error {
			if e.server == nil {
				return nil
			}
			return e.server.Close()
		}
		kv, err := open(e)
		if err != nil {
			return nil, nil, errors.Join(err, closeServer())
		}
		var written atomic.Int64
		next := func() string {
			n := written.Add(1)
			return fmt.Sprintf("many/%d/%d", n/perDir, n%perDir)
		}
		put := func(int) error { _, err := kv.Put(next(), value, 0); return err }
		many := func(n int) error {
			_, err := kvdb.PutMany(e.ctx, kv, func(yield func(*kvdb.KVPair, error) bool) {
				for range n {
					if !yield(&kvdb.KVPair{Key: next(), Value: value}, nil) {
						return
					}
				}
			}, kvdb.ManyOptions{})
			return err
		}
		var one, many64 string // the goals
		if transactions {
			one, many64 = "≤ 0.1", "≤ 0.33"
		}
		e.longer = 25 // so that a measurement has many transactions
		return []row{
			{"PutMany", "kvdb's Put", one, each(put), many},
			{"PutMany", "kvdb's Put, 64 goroutines", many64, parallel(64, put), many},
		}, func() error { return errors.Join(kvdb.Close(kv), closeServer()) }, nil
	}}
}
