package mem_test

import (
	"flag"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

var largeSize = flag.Int("kvdb.keys", 100_000,
	"keys in the large store of TestWorkDoesNotDependOnSize; the documentation promises 1000000")

const perDir = 100 // keys in a directory

var someValue = make([]byte, 127)

// manyKeys returns n keys, perDir of them in a directory, in order.
func manyKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("dir/%05d/key-%02d", i/perDir, i%perDir)
	}
	return keys
}

func filled(t *testing.T, keys []string) kvdb.Kvdb {
	kv := open(t, nil)
	for _, key := range keys {
		_, err := kv.Put(key, someValue, 0)
		require.NoError(t, err)
	}
	return kv
}

// The allocations of a call are bounded, and the same in a small and in a large store.
func TestWorkDoesNotDependOnSize(t *testing.T) {
	for _, size := range []int{1_000, *largeSize} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			keys := manyKeys(size)
			kv := filled(t, keys)
			key, dir := keys[size/2], keys[size/2][:len("dir/00000")]

			// The one allocation is the copy of a value that is too large to be kept with
			// its pair.
			_, err := kv.Put("large", make([]byte, 1000), 0)
			require.NoError(t, err)
			for key, most := range map[string]float64{key: 1, "large": 2} {
				requireAllocations(t, most, func() error { _, err := kv.Get(key); return err })
			}
			// The allocations are the interface of the caller's slice, the returned pair
			// and the record. The history is allocated in chunks.
			requireAllocations(t, 3, func() error { _, err := kv.Put(key, someValue, 0); return err })
			// The allocations are a slab of pairs, a slab of values, the pointers and the
			// visitor.
			requireAllocations(t, 4, func() error {
				pairs, err := kv.Enumerate(dir + "/")
				return wantLen(len(pairs), perDir, err)
			})
			requireAllocations(t, 12, func() error {
				names, err := kv.Keys(dir, "")
				return wantLen(len(names), perDir, err)
			})
			requireAllocations(t, 20, func() error {
				names, err := kv.Keys("", "")
				return wantLen(len(names), 2, err) // "dir" and "large"
			})

			const fewNodes = 64 << 10 // bytes
			requireBytes(t, fewNodes, func() error { _, _, err := kv.Snapshot(nil, true); return err })
			requireBytes(t, fewNodes, func() error { _, err := kv.Put(key, someValue, 0); return err })
		})
	}
}

func wantLen(n, want int, err error) error {
	if err == nil && n != want {
		err = fmt.Errorf("%d instead of %d", n, want)
	}
	return err
}

// The number of allocations of Enumerate does not grow with the number of pairs.
func TestAllocationsDoNotDependOnResult(t *testing.T) {
	kv := filled(t, manyKeys(10_000))
	for _, prefix := range []string{"none", "dir/00000/key-00", "dir/00000/", "dir/"} {
		requireAllocations(t, 4, func() error { _, err := kv.Enumerate(prefix); return err })
	}
}

func requireAllocations(t *testing.T, most float64, f func() error) {
	t.Helper()
	if raceEnabled {
		return // the race detector makes pools drop elements
	}
	allocations := testing.AllocsPerRun(100, func() {
		if err := f(); err != nil {
			t.Error(err)
		}
	})
	require.LessOrEqual(t, allocations, most)
}

func requireBytes(t *testing.T, most uint64, f func() error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, f())
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, most)
}

// A write that no watch matches allocates the same, however many watches of other keys
// there are.
func TestWatchesOfOtherKeysCostNothing(t *testing.T) {
	for _, watches := range []int{0, 1000} {
		kv := open(t, nil)
		for i := range watches {
			err := kv.WatchTree(fmt.Sprintf("quiet/%d/", i), 0, nil, func(string, interface{}, *kvdb.KVPair, error) error { return nil })
			require.NoError(t, err)
		}
		requireAllocations(t, 3, func() error { _, err := kv.Put("busy", someValue, 0); return err })
	}
}
