package mem_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/btree"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

// Each benchmark has its raw reference beside it: a map, or an ordered tree
// where order matters, behind an RWMutex, that copies values. raw+pair is one
// that also returns what kvdb does.

const perDir = 100 // keys in a directory

var benchValue = make([]byte, 127)

// benchKeys returns n keys, perDir of them in a directory, in order.
func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("dir/%05d/key-%02d", i/perDir, i%perDir)
	}
	return keys
}

func shuffled(keys []string) []string {
	keys = append([]string{}, keys...)
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

func filled(t testing.TB, keys []string) kvdb.Kvdb {
	kv := open(t, nil)
	for _, key := range keys {
		_, err := kv.Put(key, benchValue, 0)
		require.NoError(t, err)
	}
	return kv
}

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

func newRawMap(keys []string) *rawMap {
	m := &rawMap{values: map[string][]byte{}}
	for _, key := range keys {
		m.put(key, benchValue)
	}
	return m
}

// pairMap is a rawMap that does all that the caller of kvdb is given: it keeps
// the indexes, and returns a pair that is the caller's own.
type pairMap struct {
	mu     sync.RWMutex // protects what is below
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

func newPairMap(keys []string) *pairMap {
	m := &pairMap{pairs: map[string]*kvdb.KVPair{}}
	for _, key := range keys {
		m.put(key, benchValue)
	}
	return m
}

type rawTree struct {
	mu     sync.RWMutex // protects values
	values btree.Map[string, []byte]
}

type rawPair struct {
	key   string
	value []byte
}

func (t *rawTree) put(key string, value []byte) {
	v := bytes.Clone(value)
	t.mu.Lock()
	t.values.Set(key, v)
	t.mu.Unlock()
}

func (t *rawTree) enumerate(prefix string) (pairs []rawPair) {
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

func (t *rawTree) snapshot() *btree.Map[string, []byte] {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.values.Copy()
}

func newRawTree(keys []string) *rawTree {
	t := &rawTree{}
	for _, key := range keys {
		t.put(key, benchValue)
	}
	return t
}

var (
	sinkBytes []byte
	sinkPair  *kvdb.KVPair
	sinkPairs []rawPair
	sinkNames []string
	sinkTree  *btree.Map[string, []byte]
)

// atSizes runs f at growing numbers of keys.
func atSizes(b *testing.B, f func(b *testing.B, keys []string)) {
	for _, size := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", size), func(b *testing.B) { f(b, benchKeys(size)) })
	}
}

// side runs one side of a comparison.
func side(b *testing.B, name string, op func(i int) error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := op(i); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	atSizes(b, func(b *testing.B, keys []string) {
		raw, pairs, kv := newRawMap(keys), newPairMap(keys), filled(b, keys)
		keys = shuffled(keys)
		side(b, "raw+pair", func(i int) error { sinkPair = pairs.get(keys[i%len(keys)]); return nil })
		side(b, "raw", func(i int) error { sinkBytes = raw.get(keys[i%len(keys)]); return nil })
		side(b, "kvdb", func(i int) error { _, err := kv.Get(keys[i%len(keys)]); return err })
	})
}

func BenchmarkPut(b *testing.B) {
	atSizes(b, func(b *testing.B, keys []string) {
		raw, pairs, kv := newRawMap(keys), newPairMap(keys), filled(b, keys)
		keys = shuffled(keys)
		side(b, "raw+pair", func(i int) error { sinkPair = pairs.put(keys[i%len(keys)], benchValue); return nil })
		side(b, "raw", func(i int) error { raw.put(keys[i%len(keys)], benchValue); return nil })
		side(b, "kvdb", func(i int) error { _, err := kv.Put(keys[i%len(keys)], benchValue, 0); return err })
	})
}

func dirOf(keys []string, i int) string { return keys[i%len(keys)][:len("dir/00000")] }

func BenchmarkEnumerate(b *testing.B) {
	atSizes(b, func(b *testing.B, keys []string) {
		raw, kv := newRawTree(keys), filled(b, keys)
		keys = shuffled(keys)
		side(b, "raw", func(i int) error { sinkPairs = raw.enumerate(dirOf(keys, i) + "/"); return nil })
		side(b, "kvdb", func(i int) error { _, err := kv.Enumerate(dirOf(keys, i) + "/"); return err })
	})
}

func BenchmarkKeys(b *testing.B) {
	atSizes(b, func(b *testing.B, keys []string) {
		raw, kv := newRawTree(keys), filled(b, keys)
		keys = shuffled(keys)
		side(b, "raw", func(i int) error { sinkNames = raw.names(dirOf(keys, i) + "/"); return nil })
		side(b, "kvdb", func(i int) error { _, err := kv.Keys(dirOf(keys, i), ""); return err })
	})
}

func BenchmarkSnapshot(b *testing.B) {
	atSizes(b, func(b *testing.B, keys []string) {
		raw, kv := newRawTree(keys), filled(b, keys)
		keys = shuffled(keys)
		snapshot := func() error { _, _, err := kv.Snapshot(nil, true); return err }
		side(b, "raw", func(int) error { sinkTree = raw.snapshot(); return nil })
		side(b, "kvdb", func(int) error { return snapshot() })
		side(b, "raw+put", func(i int) error {
			sinkTree = raw.snapshot()
			raw.put(keys[i%len(keys)], benchValue)
			return nil
		})
		side(b, "kvdb+put", func(i int) error {
			if err := snapshot(); err != nil {
				return err
			}
			_, err := kv.Put(keys[i%len(keys)], benchValue, 0)
			return err
		})
	})
}

// watches is a Put with so many watches on other keys, half of them of trees.
func BenchmarkPutWatchedElsewhere(b *testing.B) {
	for _, n := range []int{0, 100, 10_000} {
		kv := open(b, nil)
		ignore := func(string, interface{}, *kvdb.KVPair, error) error { return nil }
		for i := range n {
			watch := kv.WatchKey
			if i%2 == 1 {
				watch = kv.WatchTree
			}
			require.NoError(b, watch(fmt.Sprintf("quiet/%d", i), 0, nil, ignore))
		}
		side(b, fmt.Sprintf("watches=%d", n), func(int) error { _, err := kv.Put("busy/key", benchValue, 0); return err })
	}
}

// An operation is one delivery of an event to one of 100 watches.
func BenchmarkDeliver(b *testing.B) {
	const watches = 100
	kv, err := mem.New("domain", nil, nil, nil)
	require.NoError(b, err)
	var left atomic.Int64
	left.Store(int64(b.N+watches-1) / watches * watches)
	done := make(chan struct{})
	count := func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
		if err == nil && left.Add(-1) == 0 {
			close(done)
		}
		return err
	}
	for range watches {
		require.NoError(b, kv.WatchKey("key", 0, nil, count))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range left.Load() / watches {
		if _, err := kv.Put("key", benchValue, 0); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	b.StopTimer()
	require.NoError(b, kvdb.Close(kv))
}
