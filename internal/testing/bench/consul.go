package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul"
	"github.com/portworx/kvdb/test/servers"
)

func consulSuites() []suite {
	return []suite{{"Consul, one server", openConsul}}
}

// consulBench has a server and both clients of it.
type consulBench struct {
	server    *servers.Cluster
	transport *http.Transport
	raw       *api.Client
	session   string       // of the raw client's locks
	kvs       [2]kvdb.Kvdb // two, because the waiter for a lock is not its holder
	ctx       context.Context
	stop      func() // ends ctx, and so the watch of the raw client
	q         *api.QueryOptions
	data      data
}

func openConsul(e *env) ([]row, func() error, error) {
	b := &consulBench{data: newData(10_000), q: &api.QueryOptions{RequireConsistent: true}}
	b.ctx, b.stop = context.WithCancel(e.ctx)
	if err := b.open(e); err != nil {
		return nil, nil, errors.Join(err, b.close())
	}
	rows := append(b.pairs(), b.conditions()...)
	rows = append(rows, b.lists()...)
	rows = append(rows, e.lockRows(b.kvs, "txn of a lock with a kept session, blocking query, txn of a delete", "≤ 1.0", b.lock)...)
	watches, err := b.watches()
	return append(rows, watches...), b.close, err
}

func (b *consulBench) open(e *env) (err error) {
	if b.server, err = e.start(servers.ConsulKind); err != nil {
		return err
	}
	endpoint := b.server.All()[0].Direct()
	b.transport = &http.Transport{MaxIdleConnsPerHost: 128}
	if b.raw, err = api.NewClient(&api.Config{Address: endpoint, HttpClient: &http.Client{Transport: b.transport}}); err != nil {
		return err
	}
	b.session, _, err = b.raw.Session().CreateNoChecks(&api.SessionEntry{Behavior: api.SessionBehaviorDelete, LockDelay: time.Millisecond}, nil)
	if err != nil {
		return err
	}
	for i := range b.kvs {
		if b.kvs[i], err = kvdb.New(consul.Name, "bench", []string{endpoint}, nil, nil); err != nil {
			return err
		}
	}
	return b.fill()
}

// fill writes the data for both.
func (b *consulBench) fill() error {
	for batch := range slices.Chunk(b.data.keys, 100) {
		tx, err := b.kvs[0].TxNew()
		if err != nil {
			return err
		}
		var ops api.KVTxnOps
		for _, key := range batch {
			if _, err := tx.Put(key, value, 0); err != nil {
				return err
			}
			ops = append(ops, &api.KVTxnOp{Verb: api.KVSet, Key: "raw/" + key, Value: value})
		}
		if err := errors.Join(tx.Commit(), b.txn(ops...)); err != nil {
			return err
		}
	}
	return nil
}

func (b *consulBench) close() (err error) {
	b.stop()
	for _, kv := range b.kvs {
		if kv != nil {
			err = errors.Join(err, kvdb.Close(kv))
		}
	}
	if b.transport != nil {
		b.transport.CloseIdleConnections()
	}
	if b.server != nil {
		err = errors.Join(err, b.server.Close())
	}
	return err
}

// txn makes one request that must succeed.
func (b *consulBench) txn(ops ...*api.KVTxnOp) error {
	ok, _, _, err := b.raw.KV().Txn(ops, nil)
	return errors.Join(err, want(err != nil || ok))
}

func (b *consulBench) pairs() []row {
	kv := b.kvs[0]
	key := func(i int) string { return "raw/" + b.data.key(i) }
	get := func(i int) error { _, _, err := b.raw.KV().Get(key(i), b.q); return err }
	put := func(i int) error { return b.txn(&api.KVTxnOp{Verb: api.KVSet, Key: key(i), Value: changing(i)}) }
	ourGet := func(i int) error { _, err := kv.Get(b.data.key(i)); return err }
	ourPut := func(i int) error { _, err := kv.Put(b.data.key(i), changing(i), 0); return err }
	return []row{
		{"Get", "Get, consistent", "≤ 1.05", each(get), each(ourGet)},
		{"Get, 64 goroutines", "Get, consistent", "≤ 1.05", parallel(64, get), parallel(64, ourGet)},
		{"Put", "txn of a set", "≤ 1.05", each(put), each(ourPut)},
		{"Put, 64 goroutines", "txn of a set", "≤ 1.05", parallel(64, put), parallel(64, ourPut)},
		{"Put with a TTL", "session create, and txn of a lock", "≤ 1.05",
			each(func(int) error {
				id, _, err := b.raw.Session().CreateNoChecks(&api.SessionEntry{TTL: "30s", Behavior: api.SessionBehaviorDelete}, nil)
				if err == nil {
					err = b.txn(&api.KVTxnOp{Verb: api.KVLock, Key: "raw/ttl-" + id, Value: value, Session: id})
				}
				return err
			}),
			each(func(i int) error { _, err := kv.Put(fmt.Sprint("ttl-", i), value, 60); return err })},
	}
}

// changing returns a different value for each call, because Consul does not write a value
// that is equal to the stored one.
func changing(i int) []byte {
	return append([]byte(fmt.Sprintf("%016d", i)), value[16:]...)
}

func (b *consulBench) conditions() []row {
	kv := b.kvs[0]
	return []row{
		{"Create and Delete", "txn of a cas, txn of get and delete", "≤ 1.05",
			each(func(int) error {
				if err := b.txn(&api.KVTxnOp{Verb: api.KVCAS, Key: "raw/new", Value: value}); err != nil {
					return err
				}
				return b.txn(&api.KVTxnOp{Verb: api.KVGet, Key: "raw/new"}, &api.KVTxnOp{Verb: api.KVDelete, Key: "raw/new"})
			}),
			each(func(int) error {
				if _, err := kv.Create("new", value, 0); err != nil {
					return err
				}
				_, err := kv.Delete("new")
				return err
			})},
		{"Update", "txn of get and set", "≤ 1.05",
			each(func(i int) error {
				key := "raw/" + b.data.key(i)
				return b.txn(&api.KVTxnOp{Verb: api.KVGet, Key: key}, &api.KVTxnOp{Verb: api.KVSet, Key: key, Value: changing(i)})
			}),
			each(func(i int) error { _, err := kv.Update(b.data.key(i), changing(i), 0); return err })},
		{"CompareAndSet, by index", "txn of a cas", "≤ 1.05", b.rawCAS(), b.ourCAS()},
	}
}

func (b *consulBench) rawCAS() work {
	index := uint64(0)
	return each(func(i int) error {
		ok, reply, _, err := b.raw.KV().Txn(api.KVTxnOps{
			{Verb: api.KVCAS, Key: "raw/cas", Value: changing(i), Index: index}}, nil)
		if err == nil && ok {
			index = reply.Results[0].ModifyIndex
		}
		return errors.Join(err, want(err != nil || ok))
	})
}

func (b *consulBench) ourCAS() work {
	pair := &kvdb.KVPair{Key: "cas"}
	return each(func(i int) (err error) {
		pair.Value = changing(i)
		pair, err = b.kvs[0].CompareAndSet(pair, kvdb.KVModifiedIndex, nil)
		return err
	})
}

func (b *consulBench) lists() []row {
	kv := b.kvs[0]
	list := func(prefix string, n int) error {
		pairs, _, err := b.raw.KV().List("raw/"+prefix, b.q)
		return errors.Join(err, want(len(pairs) == n))
	}
	return []row{
		{"Enumerate 100", "List", "≤ 1.15",
			each(func(i int) error { return list(b.data.dir(i)+"/", perDir) }), each(enumerate(kv, b.data))},
		{"Enumerate 1,000", "List", "≤ 1.15",
			each(func(i int) error { return list(fmt.Sprintf("dir/000%d", i%10), 1000) }),
			each(func(i int) error {
				pairs, err := kv.Enumerate(fmt.Sprintf("dir/000%d", i%10))
				return errors.Join(err, want(len(pairs) == 1000))
			})},
		{"Keys of 100", "Keys with a separator", "≤ 1.05",
			each(func(i int) error {
				names, _, err := b.raw.KV().Keys("raw/"+b.data.dir(i)+"/", "/", b.q)
				return errors.Join(err, wantLen(len(names)))
			}),
			each(keys(kv, b.data))},
		{"DeleteTree of nothing", "DeleteTree", "≤ 1.05",
			each(func(int) error { _, err := b.raw.KV().DeleteTree("raw/none/", nil); return err }),
			each(func(int) error { return kv.DeleteTree("none") })},
		{"Snapshot of 1,000", "txn of get-tree, set and delete", "≤ 1.2",
			each(func(int) error {
				return b.txn(&api.KVTxnOp{Verb: api.KVGetTree, Key: "raw/dir/0007"},
					&api.KVTxnOp{Verb: api.KVSet, Key: "raw/mark"}, &api.KVTxnOp{Verb: api.KVDelete, Key: "raw/mark"})
			}),
			each(func(int) error {
				snapshot, _, err := kv.Snapshot([]string{"dir/0007"}, true)
				if err != nil {
					return err
				}
				return kvdb.Close(snapshot)
			})},
	}
}

// lock obtains a lock with the raw client, and waits for it by a blocking query.
func (b *consulBench) lock(_ int, name string) (unlock func() error, err error) {
	key := "raw/" + name
	q := b.q.WithContext(b.ctx)
	for {
		ok, _, _, err := b.raw.KV().Txn(api.KVTxnOps{
			{Verb: api.KVCheckNotExists, Key: key}, {Verb: api.KVLock, Key: key, Session: b.session}}, nil)
		if err != nil {
			return nil, err
		}
		if ok {
			return func() error { return b.txn(&api.KVTxnOp{Verb: api.KVDelete, Key: key}) }, nil
		}
		for held := true; held; {
			pair, meta, err := b.raw.KV().Get(key, q)
			if err != nil {
				return nil, err
			}
			held, q.WaitIndex = pair != nil, meta.LastIndex
		}
	}
}

// watches measures the time from a write to its event.
func (b *consulBench) watches() ([]row, error) {
	raws, ours := make(chan struct{}, 1<<16), make(chan struct{}, 1<<16)
	go func() {
		q := b.q.WithContext(b.ctx)
		for b.ctx.Err() == nil {
			pairs, meta, err := b.raw.KV().List("raw/watched", q)
			if err != nil {
				return
			}
			q.WaitIndex = meta.LastIndex
			for range pairs {
				raws <- struct{}{}
			}
		}
	}()
	put := func(key string) func(i int) error {
		return func(i int) error {
			_, err := b.raw.KV().Put(&api.KVPair{Key: key, Value: changing(i)}, nil)
			return err
		}
	}
	// The pairs must exist, so that each query has a result.
	if err := errors.Join(put("raw/watched")(-1), put("bench/watched")(-1)); err != nil {
		return nil, err
	}
	err := b.kvs[0].WatchTree("watched", 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
		if err == nil {
			ours <- struct{}{}
		}
		return err
	})
	<-raws // the first list
	awaiting := func(put func(int) error, events <-chan struct{}) work {
		return each(func(i int) error { err := put(i); <-events; return err })
	}
	return []row{{"write to event", "blocking List", "≤ 1.1",
		awaiting(put("raw/watched"), raws), awaiting(put("bench/watched"), ours)}}, err
}
