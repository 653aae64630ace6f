package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/btree"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

func memSuites() []suite {
	var all []suite
	for _, size := range []struct {
		name string
		keys int
	}{{"1 k", 1_000}, {"100 k", 100_000}, {"1 M", 1_000_000}} {
		all = append(all, suite{
			"mem, " + size.name + " keys",
			func(*env) ([]row, func() error, error) { return openMem(size.keys) },
		})
	}
	return append(all,
		watchSuite("mem, watches", func(string) (kvdb.Kvdb, error) { return newMem() }),
		deliverySuite("mem, deliveries", newMem))
}

func newMem() (kvdb.Kvdb, error) { return kvdb.New(mem.Name, "bench", nil, nil, nil) }

// rawMap is the reference for single keys.
type rawMap struct {
	mu     sync.RWMutex // protects values
	values map[string][]byte
}

func (m *rawMap) get(key string) []byte {
	m.mu.RLock()
	v := m.values[key]
	m.mu.RUnlock()
	return bytes.Clone(v)
}

func (m *rawMap) put(key string, value []byte) {
	v := bytes.Clone(value)
	m.mu.Lock()
	m.values[key] = v
	m.mu.Unlock()
}

// pairMap is a rawMap that also keeps the indexes, and returns a copy of the pair, as kvdb
// does.
type pairMap struct {
	mu     sync.RWMutex // protects the fields below
	pairs  map[string]*kvdb.KVPair
	latest uint64
}

func (m *pairMap) get(key string) *kvdb.KVPair {
	m.mu.RLock()
	pair, latest := *m.pairs[key], m.latest
	m.mu.RUnlock()
	pair.Value = bytes.Clone(pair.Value)
	pair.KVDBIndex = latest
	return &pair
}

func (m *pairMap) put(key string, value []byte) *kvdb.KVPair {
	stored := &kvdb.KVPair{Key: key, Value: bytes.Clone(value)}
	m.mu.Lock()
	m.latest++
	stored.CreatedIndex, stored.ModifiedIndex, stored.KVDBIndex = m.latest, m.latest, m.latest
	if old := m.pairs[key]; old != nil {
		stored.CreatedIndex = old.CreatedIndex
	}
	m.pairs[key] = stored
	m.mu.Unlock()
	pair := *stored
	pair.Value = bytes.Clone(value)
	return &pair
}

func wantIndex(pair *kvdb.KVPair) error {
	if pair.KVDBIndex == 0 {
		return fmt.Errorf("a pair at %q without an index", pair.Key)
	}
	return nil
}

// rawTree is the reference for many keys.
type rawTree struct {
	mu     sync.RWMutex // protects values
	values btree.Map[string, []byte]
}

type rawPair struct {
	key   string
	value []byte
}

// scan returns copies of the pairs that have prefix.
func (t *rawTree) scan(prefix string) (pairs []rawPair) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.values.Ascend(prefix, func(key string, v []byte) bool {
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		pairs = append(pairs, rawPair{key, bytes.Clone(v)})
		return true
	})
	return pairs
}

func (t *rawTree) names(dir string) (names []string) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.values.Ascend(dir, func(key string, _ []byte) bool {
		if !strings.HasPrefix(key, dir) {
			return false
		}
		names = append(names, key[len(dir):])
		return true
	})
	return names
}

func (t *rawTree) put(key string, value []byte) {
	v := bytes.Clone(value)
	t.mu.Lock()
	t.values.Set(key, v)
	t.mu.Unlock()
}

func (t *rawTree) snapshot() *btree.Map[string, []byte] {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.values.Copy()
}

func openMem(n int) ([]row, func() error, error) {
	kv, err := newMem()
	if err != nil {
		return nil, nil, err
	}
	d := newData(n)
	points, ordered := &rawMap{values: map[string][]byte{}}, &rawTree{}
	pairs := &pairMap{pairs: map[string]*kvdb.KVPair{}}
	for _, key := range d.keys {
		points.put(key, value)
		pairs.put(key, value)
		ordered.put(key, value)
	}
	if err := fill(kv, d); err != nil {
		return nil, nil, err
	}
	const (
		aMap  = "a map, an RWMutex and a copy"
		aPair = "the same, with indexes and a pair returned"
		aTree = "a scan of tidwall/btree and copies"
	)
	get := func(i int) error { _, err := kv.Get(d.key(i)); return err }
	rawGet := func(i int) error { points.get(d.key(i)); return nil }
	put := func(i int) error { _, err := kv.Put(d.key(i), value, 0); return err }
	rawPut := func(i int) error { points.put(d.key(i), value); return nil }
	rows := []row{
		{"Get", aMap, "≤ 1.3", each(rawGet), each(get)},
		{"Put", aMap, "≤ 1.5", each(rawPut), each(put)},
		{"Get", aPair, "", each(func(i int) error { return wantIndex(pairs.get(d.key(i))) }), each(get)},
		{"Put", aPair, "", each(func(i int) error { return wantIndex(pairs.put(d.key(i), value)) }), each(put)},
		{"Get, 64 goroutines", aMap, "", parallel(64, rawGet), parallel(64, get)},
		{"Put, 64 goroutines", aMap, "", parallel(64, rawPut), parallel(64, put)},
		{"Enumerate 100", aTree, "≤ 1.5",
			each(func(i int) error { return wantLen(len(ordered.scan(d.dir(i) + "/"))) }),
			each(enumerate(kv, d))},
		{"Keys of 100", "a scan of tidwall/btree", "≤ 1.5",
			each(func(i int) error { return wantLen(len(ordered.names(d.dir(i) + "/"))) }),
			each(keys(kv, d))},
		{"Snapshot", "a copy of tidwall/btree", "< 10 µs",
			each(func(int) error { ordered.snapshot(); return nil }),
			each(snapshot(kv))},
		{"Snapshot and a Put after it", "a copy of tidwall/btree and a Set", "< 30 µs",
			each(func(i int) error { ordered.snapshot(); ordered.put(d.key(i), value); return nil }),
			each(func(i int) error {
				if err := snapshot(kv)(i); err != nil {
					return err
				}
				return put(i)
			})},
	}
	return rows, func() error { return kvdb.Close(kv) }, nil
}

// fillBatch is the number of keys that fill puts at a time.
const fillBatch = 1000

// fill puts d's keys.
func fill(kv kvdb.Kvdb, d data) error {
	for batch := range slices.Chunk(d.keys, fillBatch) {
		tx, err := kv.TxNew()
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

// enumerate reads the pairs of a directory.
func enumerate(kv kvdb.Kvdb, d data) func(i int) error {
	return func(i int) error {
		pairs, err := kv.Enumerate(d.dir(i) + "/")
		if err != nil {
			return err
		}
		return wantLen(len(pairs))
	}
}

// keys reads the names in a directory.
func keys(kv kvdb.Kvdb, d data) func(i int) error {
	return func(i int) error {
		names, err := kv.Keys(d.dir(i), "")
		if err != nil {
			return err
		}
		return wantLen(len(names))
	}
}

func snapshot(kv kvdb.Kvdb) func(i int) error {
	return func(int) error { _, _, err := kv.Snapshot(nil, true); return err }
}

func wantLen(n int) error {
	if n != perDir {
		return fmt.Errorf("%d pairs in a directory of %d", n, perDir)
	}
	return nil
}
