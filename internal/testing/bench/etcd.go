package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"github.com/portworx/kvdb"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
)

func etcdSuites() []suite {
	return []suite{{"etcd v3, one member", openEtcd}}
}

// etcdBench has a server and both clients of it.
type etcdBench struct {
	ctx    context.Context
	server *servers.Cluster
	raw    *clientv3.Client
	// Two of each, because the waiter for a lock is not the client that holds it.
	sessions [2]*concurrency.Session
	kvs      [2]kvdb.Kvdb
	data     data
}

func openEtcd(e *env) ([]row, func() error, error) {
	b := &etcdBench{ctx: e.ctx, data: newData(10_000)}
	err := b.open(e)
	if err != nil {
		return nil, nil, errors.Join(err, b.close())
	}
	rows := b.pairs()
	rows = append(rows, b.lists()...)
	rows = append(rows, e.lockRows(b.kvs, "concurrency.Mutex", "≤ 1.0", b.lock)...)
	watches, err := b.watches()
	return append(rows, watches...), b.close, err
}

func (b *etcdBench) open(e *env) (err error) {
	if b.server, err = e.start(servers.EtcdKind); err != nil {
		return err
	}
	endpoints := []string{b.server.All()[0].Direct()}
	if b.raw, err = clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()}); err != nil {
		return err
	}
	for i := range b.kvs {
		if b.kvs[i], err = kvdb.New(etcdv3.Name, "bench", endpoints, nil, nil); err != nil {
			return err
		}
		if b.sessions[i], err = concurrency.NewSession(b.raw, concurrency.WithTTL(16)); err != nil {
			return err
		}
	}
	return b.fill()
}

// fill writes the data for both.
func (b *etcdBench) fill() error {
	const perTx = 100
	for i := 0; i < len(b.data.keys); i += perTx {
		tx, err := b.kvs[0].TxNew()
		if err != nil {
			return err
		}
		var ops []clientv3.Op
		for _, key := range b.data.keys[i : i+perTx] {
			if _, err := tx.Put(key, value, 0); err != nil {
				return err
			}
			ops = append(ops, clientv3.OpPut("raw/"+key, string(value)))
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		if _, err := b.raw.Txn(b.ctx).Then(ops...).Commit(); err != nil {
			return err
		}
	}
	return nil
}

func (b *etcdBench) close() (err error) {
	for i := range b.kvs {
		if b.kvs[i] != nil {
			err = errors.Join(err, kvdb.Close(b.kvs[i]))
		}
		if b.sessions[i] != nil {
			err = errors.Join(err, b.sessions[i].Close())
		}
	}
	if b.raw != nil {
		err = errors.Join(err, b.raw.Close())
	}
	if b.server != nil {
		err = errors.Join(err, b.server.Close())
	}
	return err
}

// pairs returns the rows of operations on one key. Operations that create a key alternate
// with those that delete it, so that each succeeds.
func (b *etcdBench) pairs() []row {
	kv, ctx, large := b.kvs[0], b.ctx, strings.Repeat("x", 64<<10)
	key := func(i int) string { return "raw/" + b.data.key(i) }
	get := func(i int) error { _, err := b.raw.Get(ctx, key(i)); return err }
	put := func(i int) error { _, err := b.raw.Put(ctx, key(i), string(value), clientv3.WithPrevKV()); return err }
	ourGet := func(i int) error { _, err := kv.Get(b.data.key(i)); return err }
	ourPut := func(i int) error { _, err := kv.Put(b.data.key(i), value, 0); return err }
	return append([]row{
		{"Get", "Get", "≤ 1.05", each(get), each(ourGet)},
		{"Get, 64 goroutines", "Get", "≤ 1.05", parallel(64, get), parallel(64, ourGet)},
		{"Put", "Put with PrevKV", "≤ 1.05", each(put), each(ourPut)},
		{"Put, 64 goroutines", "Put with PrevKV", "≤ 1.05", parallel(64, put), parallel(64, ourPut)},
		{"Put of 64 KiB", "Txn of put and keys-only get", "≤ 1.05",
			each(func(int) error {
				_, err := b.raw.Txn(ctx).Then(clientv3.OpPut("raw/large", large),
					clientv3.OpGet("raw/large", clientv3.WithKeysOnly())).Commit()
				return err
			}),
			each(func(int) error { _, err := kv.Put("large", large, 0); return err })},
		{"Put with a TTL", "Grant, Put with PrevKV, and Revoke of the lease before", "≤ 1.05",
			each(func(int) error {
				lease, err := b.raw.Grant(ctx, 60)
				if err != nil {
					return err
				}
				reply, err := b.raw.Put(ctx, "raw/ttl", string(value), clientv3.WithLease(lease.ID), clientv3.WithPrevKV())
				if err == nil && reply.PrevKv != nil {
					_, err = b.raw.Revoke(ctx, clientv3.LeaseID(reply.PrevKv.Lease))
				}
				return err
			}),
			each(func(int) error { _, err := kv.Put("ttl", value, 60); return err })},
	}, b.conditionalWrites()...)
}

// conditionalWrites returns the rows of writes that are transactions of etcd.
func (b *etcdBench) conditionalWrites() []row {
	kv, ctx := b.kvs[0], b.ctx
	key := func(i int) string { return "raw/" + b.data.key(i) }
	putIf := func(key string, c clientv3.Cmp) error {
		reply, err := b.raw.Txn(ctx).If(c).
			Then(clientv3.OpPut(key, string(value)), clientv3.OpGet(key, clientv3.WithKeysOnly())).
			Else(clientv3.OpGet(key)).Commit()
		return errors.Join(err, want(reply != nil && reply.Succeeded))
	}
	return []row{
		{"Create and Delete", "Txn and Delete with PrevKV", "≤ 1.05",
			each(func(int) error {
				if err := putIf("raw/new", clientv3.Compare(clientv3.CreateRevision("raw/new"), "=", 0)); err != nil {
					return err
				}
				_, err := b.raw.Delete(ctx, "raw/new", clientv3.WithPrevKV())
				return err
			}),
			each(func(int) error {
				if _, err := kv.Create("new", value, 0); err != nil {
					return err
				}
				_, err := kv.Delete("new")
				return err
			})},
		{"Update", "Txn", "≤ 1.05",
			each(func(i int) error {
				return putIf(key(i), clientv3.Compare(clientv3.CreateRevision(key(i)), ">", 0))
			}),
			each(func(i int) error { _, err := kv.Update(b.data.key(i), value, 0); return err })},
		{"CompareAndSet", "Txn", "≤ 1.05",
			each(func(i int) error {
				return putIf(key(i), clientv3.Compare(clientv3.Value(key(i)), "=", string(value)))
			}),
			each(func(i int) error {
				_, err := kv.CompareAndSet(&kvdb.KVPair{Key: b.data.key(i), Value: value}, 0, value)
				return err
			})},
	}
}

func want(ok bool) error {
	if !ok {
		return errors.New("an operation had the wrong result")
	}
	return nil
}

// lists returns the rows of operations on many keys.
func (b *etcdBench) lists() []row {
	kv, ctx := b.kvs[0], b.ctx
	list := func(prefix string, n int, o ...clientv3.OpOption) error {
		reply, err := b.raw.Get(ctx, "raw/"+prefix, append(o, clientv3.WithPrefix())...)
		return errors.Join(err, want(reply != nil && len(reply.Kvs) == n))
	}
	ours := func(prefix string, n int) error {
		pairs, err := kv.Enumerate(prefix)
		return errors.Join(err, want(len(pairs) == n))
	}
	return []row{
		{"Enumerate 100", "Get of the prefix", "≤ 1.05",
			each(func(i int) error { return list(b.data.dir(i)+"/", perDir) }), each(enumerate(kv, b.data))},
		{"Enumerate 1,000", "Get of the prefix", "≤ 1.15",
			each(func(i int) error { return list(fmt.Sprintf("dir/000%d", i%10), 1000) }),
			each(func(i int) error { return ours(fmt.Sprintf("dir/000%d", i%10), 1000) })},
		{"Keys of 100", "keys-only Get of the prefix", "≤ 1.05",
			each(func(i int) error { return list(b.data.dir(i)+"/", perDir, clientv3.WithKeysOnly()) }), each(keys(kv, b.data))},
		{"DeleteTree of nothing", "Delete of the prefix", "≤ 1.05",
			each(func(int) error { _, err := b.raw.Delete(ctx, "raw/none/", clientv3.WithPrefix()); return err }),
			each(func(int) error { return kv.DeleteTree("none") })},
		{"Snapshot of 10,000", "2 writes, and Get of the prefix", "≤ 1.2",
			each(func(int) error {
				for range 2 {
					if _, err := b.raw.Put(ctx, "raw/marker", ""); err != nil {
						return err
					}
				}
				return list("dir/", len(b.data.keys))
			}),
			each(func(int) error {
				snapshot, _, err := kv.Snapshot([]string{"dir/"}, true)
				if err != nil {
					return err
				}
				return kvdb.Close(snapshot)
			})},
	}
}

func (b *etcdBench) lock(client int, name string) (unlock func() error, err error) {
	m := concurrency.NewMutex(b.sessions[client], "raw/"+name)
	return func() error { return m.Unlock(b.ctx) }, m.Lock(b.ctx)
}

// watches measures the time from a write to its event, and from the first of many writes to
// the last event.
func (b *etcdBench) watches() ([]row, error) {
	raws, ours := make(chan struct{}, 1<<16), make(chan struct{}, 1<<16)
	go func() {
		for reply := range b.raw.Watch(b.ctx, "raw/watched", clientv3.WithPrefix()) {
			for range reply.Events {
				raws <- struct{}{}
			}
		}
	}()
	kv := b.kvs[0]
	err := kv.WatchTree("watched", 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
		if err == nil {
			ours <- struct{}{}
		}
		return err
	})
	put := func(i int) error { _, err := b.raw.Put(b.ctx, "raw/watched", string(value)); return err }
	ourPut := func(i int) error { _, err := b.raw.Put(b.ctx, "bench/watched", string(value)); return err }
	awaiting := func(put func(int) error, events <-chan struct{}) work {
		return each(func(i int) error { err := put(i); <-events; return err })
	}
	streaming := func(put func(int) error, events <-chan struct{}) work {
		writes := parallel(64, put)
		return func(n int) error {
			err := writes(n)
			for range n {
				<-events
			}
			return err
		}
	}
	return []row{
		{"write to event", "Watch", "≤ 1.1", awaiting(put, raws), awaiting(ourPut, ours)},
		{"events of 64 writers", "Watch", "≤ 1.05", streaming(put, raws), streaming(ourPut, ours)},
	}, err
}
