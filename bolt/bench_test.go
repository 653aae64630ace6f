package bolt

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
)

// Each benchmark measures the same work on bbolt itself (raw) and through kvdb
// (kvdb): their ratio is what counts.

var (
	rawBucket  = []byte("raw")
	benchValue = bytes.Repeat([]byte("v"), 127)
)

// benchKey is one of a directory of 100 keys.
func benchKey(i int) string { return fmt.Sprintf("dir%04d/key%02d", i/100, i%100) }

func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	return keys
}

func rawDB(b *testing.B, keys []string) *bbolt.DB {
	b.Helper()
	db, err := bbolt.Open(tempFile(b), 0o600, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	require.NoError(b, db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket(rawBucket)
		for _, key := range keys {
			if err == nil {
				err = bucket.Put([]byte("bench/"+key), benchValue)
			}
		}
		return err
	}))
	return db
}

func benchKvdb(b *testing.B, keys []string) kvdb.Kvdb {
	b.Helper()
	kv, err := New("bench", nil, map[string]string{Path: tempFile(b)}, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, kvdb.Close(kv)) })
	for len(keys) > 0 {
		tx, err := kv.TxNew()
		require.NoError(b, err)
		n := min(len(keys), 1000)
		for _, key := range keys[:n] {
			_, err := tx.Put(key, benchValue, 0)
			require.NoError(b, err)
		}
		require.NoError(b, tx.Commit())
		keys = keys[n:]
	}
	return kv
}

var sink any

func BenchmarkGet(b *testing.B) {
	keys := benchKeys(100_000)
	b.Run("raw", func(b *testing.B) {
		db := rawDB(b, keys)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			key := []byte("bench/" + keys[i*7919%len(keys)])
			var value []byte
			err := db.View(func(tx *bbolt.Tx) error {
				value = bytes.Clone(tx.Bucket(rawBucket).Get(key))
				return nil
			})
			if err != nil || len(value) == 0 {
				b.Fatal(err)
			}
		}
	})
	b.Run("kvdb", func(b *testing.B) {
		kv := benchKvdb(b, keys)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := kv.Get(keys[i*7919%len(keys)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPut(b *testing.B) {
	keys := benchKeys(1000)
	b.Run("raw", func(b *testing.B) {
		db := rawDB(b, keys)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			key := []byte("bench/" + keys[i%len(keys)])
			err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(rawBucket).Put(key, benchValue) })
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("kvdb", func(b *testing.B) {
		kv := benchKvdb(b, keys)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := kv.Put(keys[i%len(keys)], benchValue, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// rawGroup is a group commit over bbolt: who finds no commit running commits for
// all who have come.
type rawGroup struct {
	db   *bbolt.DB
	turn sync.Mutex

	mu      sync.Mutex // protects waiting
	waiting *rawBatch
}

type rawBatch struct {
	keys [][]byte
	done chan struct{}
	err  error
}

func (g *rawGroup) put(key []byte) error {
	g.mu.Lock()
	batch := g.waiting
	leads := batch == nil
	if leads {
		batch = &rawBatch{done: make(chan struct{})}
		g.waiting = batch
	}
	batch.keys = append(batch.keys, key)
	g.mu.Unlock()
	if !leads {
		<-batch.done
		return batch.err
	}
	g.turn.Lock()
	defer g.turn.Unlock()
	g.mu.Lock()
	g.waiting = nil
	g.mu.Unlock()
	batch.err = g.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(rawBucket)
		for _, key := range batch.keys {
			if err := bucket.Put(key, benchValue); err != nil {
				return err
			}
		}
		return nil
	})
	close(batch.done)
	return batch.err
}

func BenchmarkPutFrom(b *testing.B) {
	keys := benchKeys(1000)
	for _, writers := range []int{8, 64} {
		b.Run(fmt.Sprintf("%d", writers), func(b *testing.B) {
			b.Run("raw", func(b *testing.B) {
				g := &rawGroup{db: rawDB(b, keys)}
				benchParallel(b, writers, func(i int) error { return g.put([]byte("bench/" + keys[i%len(keys)])) })
			})
			b.Run("kvdb", func(b *testing.B) {
				kv := benchKvdb(b, keys)
				benchParallel(b, writers, func(i int) error {
					_, err := kv.Put(keys[i%len(keys)], benchValue, 0)
					return err
				})
			})
		})
	}
}

// benchParallel does b.N operations from several goroutines.
func benchParallel(b *testing.B, goroutines int, operation func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range goroutines {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i > b.N {
					return
				}
				if err := operation(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkEnumerate100(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		keys := benchKeys(n)
		b.Run(fmt.Sprintf("of %d", n), func(b *testing.B) {
			b.Run("raw", func(b *testing.B) {
				db := rawDB(b, keys)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					prefix := []byte("bench/" + benchKey(i * 100 % n)[:8])
					var pairs []kvdb.KVPair
					err := db.View(func(tx *bbolt.Tx) error {
						c := tx.Bucket(rawBucket).Cursor()
						for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
							pairs = append(pairs, kvdb.KVPair{Key: string(k), Value: bytes.Clone(v)})
						}
						return nil
					})
					if err != nil || len(pairs) != 100 {
						b.Fatal(err, len(pairs))
					}
				}
			})
			b.Run("kvdb", func(b *testing.B) {
				kv := benchKvdb(b, keys)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					pairs, err := kv.Enumerate(benchKey(i * 100 % n)[:8])
					if err != nil || len(pairs) != 100 {
						b.Fatal(err, len(pairs))
					}
				}
			})
		})
	}
}

func BenchmarkKeys100(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		keys := benchKeys(n)
		b.Run(fmt.Sprintf("of %d", n), func(b *testing.B) {
			b.Run("raw", func(b *testing.B) {
				db := rawDB(b, keys)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					prefix := []byte("bench/" + benchKey(i * 100 % n)[:8])
					var names []string
					err := db.View(func(tx *bbolt.Tx) error {
						c := tx.Bucket(rawBucket).Cursor()
						for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
							names = append(names, string(k[len(prefix):]))
						}
						return nil
					})
					if err != nil || len(names) != 100 {
						b.Fatal(err, len(names))
					}
				}
			})
			b.Run("kvdb", func(b *testing.B) {
				kv := benchKvdb(b, keys)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					names, err := kv.Keys(benchKey(i * 100 % n)[:7], "")
					if err != nil || len(names) != 100 {
						b.Fatal(err, len(names))
					}
				}
			})
		})
	}
}

// The reference of a watcher is none.
func BenchmarkPutWithWatchers(b *testing.B) {
	for _, watchers := range []int{0, 10_000} {
		b.Run(fmt.Sprint(watchers), func(b *testing.B) {
			kv := benchKvdb(b, nil)
			ignore := func(string, interface{}, *kvdb.KVPair, error) error { return nil }
			for i := range watchers {
				require.NoError(b, kv.WatchKey(fmt.Sprintf("elsewhere/%d", i), 0, nil, ignore))
			}
			for b.Loop() {
				if _, err := kv.Put("key", benchValue, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// One operation copies 10,000 pairs.
func BenchmarkSnapshot(b *testing.B) {
	kv := benchKvdb(b, benchKeys(10_000))
	for b.Loop() {
		snapshot, _, err := kv.Snapshot(nil, true)
		if err != nil {
			b.Fatal(err)
		}
		sink = snapshot
	}
}
