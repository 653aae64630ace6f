package cache_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cache"
	"github.com/portworx/kvdb/mem"
)

// filled returns a cache of n keys without values, and the keys.
func filled(b *testing.B, n int) (*cache.Cache, []string) {
	kv := newMem(b)
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("volumes/%08d/state", i)
		put(b, kv, keys[i], "")
	}
	return newCache(b, kv, "", cache.Options{}), keys
}

var sizes = []int{1000, 10_000, 100_000, 1_000_000}

func BenchmarkGet(b *testing.B) {
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c, keys := filled(b, n)
			order := rand.Perm(n)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := c.Get(keys[order[i]]); err != nil {
					b.Fatal(err)
				}
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

// BenchmarkMap measures a Go map with the same keys, for comparison with BenchmarkGet.
func BenchmarkMap(b *testing.B) {
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c, keys := filled(b, n)
			pairs := maps.Collect(c.View().All())
			order := rand.Perm(n)
			i := 0
			for b.Loop() {
				if pairs[keys[order[i]]] == nil {
					b.Fatal("missing")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

func BenchmarkRange(b *testing.B) {
	c, keys := filled(b, 100_000)
	for b.Loop() {
		n := 0
		for range c.Range("") {
			n++
		}
		require.Len(b, keys, n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/key")
}

// BenchmarkApply measures writes until the cache and a subscriber have them all.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			kv, err := mem.New("", nil, nil, nil)
			require.NoError(b, err)
			defer kvdb.Close(kv)
			keys := make([]string, n)
			for i := range keys {
				keys[i] = fmt.Sprintf("volumes/%08d/state", i)
				put(b, kv, keys[i], "")
			}
			c := newCache(b, kv, "", cache.Options{})
			ctx, cancel := context.WithCancel(b.Context())
			_, changes := c.Subscribe(ctx)
			seen := make(chan uint64, 1)
			go func() {
				last := uint64(0)
				for change, err := range changes {
					if err != nil {
						break
					}
					last = change.Index
				}
				seen <- last
			}()
			value := make([]byte, 100)
			last := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				pair, err := kv.Put(keys[rand.IntN(n)], value, 0)
				if err != nil {
					b.Fatal(err)
				}
				last = pair.ModifiedIndex
			}
			waitFor(b, c, last)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
			cancel()
			<-seen
		})
	}
}

// BenchmarkMemory measures the bytes of a key beside the key itself and its value.
func BenchmarkMemory(b *testing.B) {
	const n = 1_000_000
	kv, err := mem.New("", nil, nil, nil)
	require.NoError(b, err)
	for i := range n {
		put(b, kv, fmt.Sprintf("volumes/%08d/state", i), "")
	}
	b.Cleanup(func() { require.NoError(b, kvdb.Close(kv)) })
	for b.Loop() {
		before := heap()
		c := newCache(b, kv, "", cache.Options{})
		b.ReportMetric(float64(heap()-before)/n, "bytes/key")
		require.Equal(b, n, c.View().Len())
		c.Close()
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
