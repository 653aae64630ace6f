package tree

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// model is a simple implementation of Tree.
type model map[string]*Record

func (m model) scan(prefix, from string) (keys []string, records []*Record) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(key, prefix) && key >= from {
			keys = append(keys, key)
			records = append(records, m[key])
		}
	}
	return keys, records
}

func (m model) children(dir, sep string) []string {
	names := map[string]bool{}
	for key := range m {
		if rest, ok := strings.CutPrefix(key, dir); ok && rest != "" {
			names[firstName(rest, sep)] = true
		}
	}
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(names))))
}

// firstName returns rest up to the first sep that is not at the beginning.
func firstName(rest, sep string) string {
	if rest == "" {
		return ""
	}
	first, _, _ := strings.Cut(rest[1:], sep)
	return rest[:1+len(first)]
}

func scan(t *Tree, prefix, from string) (keys []string, records []*Record) {
	t.Scan(prefix, from, func(key string, r *Record) bool {
		keys = append(keys, key)
		records = append(records, r)
		return true
	})
	return keys, records
}

// randomKey returns a key of few different characters, so that keys repeat, share prefixes
// and nest. One of the characters is 0xff, the largest byte.
func randomKey(r *rand.Rand) string {
	b := make([]byte, r.IntN(6))
	for i := range b {
		b[i] = "ab/_\xff"[r.IntN(5)]
	}
	return string(b)
}

func requireSame(t *testing.T, r *rand.Rand, tree *Tree, m model) {
	t.Helper()
	require.Equal(t, len(m), tree.Len())
	for range 5 {
		key := randomKey(r)
		require.Same(t, m[key], tree.Get(key), "%q", key)
	}
	for range 3 {
		prefix, from := randomKey(r), randomKey(r)
		if r.IntN(2) == 0 {
			from = prefix + from
		}
		keys, records := scan(tree, prefix, from)
		wantKeys, wantRecords := m.scan(prefix, from)
		require.Equal(t, wantKeys, keys, "prefix %q from %q", prefix, from)
		require.Equal(t, wantRecords, records)
		dir, sep := randomKey(r), []string{"/", "a", "//", "a/", "\xff"}[r.IntN(5)]
		require.Equal(t, m.children(dir, sep), tree.Children(dir, sep, firstName), "dir %q sep %q", dir, sep)
	}
}

// Trees, their copies, and copies of copies each agree with their own model, whatever is
// written to the others.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		type both struct {
			tree *Tree
			m    model
		}
		all := []both{{New(), model{}}, {NewOrdered(), model{}}}
		for range 2000 {
			b := all[r.IntN(len(all))]
			key := randomKey(r)
			switch r.IntN(20) {
			case 0:
				if len(all) == 6 {
					all = slices.Delete(all, 2+r.IntN(4), 6)
				}
				all = append(all, both{b.tree.Copy(), maps.Clone(b.m)})
			case 1:
				keys, _ := b.m.scan(key, "")
				for _, key := range keys {
					b.tree.Delete(key)
					delete(b.m, key)
				}
			case 2, 3, 4, 5, 6:
				b.tree.Delete(key)
				delete(b.m, key)
			default:
				record := &Record{}
				b.tree.Set(key, record)
				b.m[key] = record
			}
			requireSame(t, r, b.tree, b.m)
		}
		for _, b := range all {
			requireSame(t, r, b.tree, b.m)
		}
	}
}

// Load has the same effect as Set, for keys in order or not, new or existing.
func TestLoad(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tree := range []*Tree{New(), NewOrdered()} {
		m := model{}
		for round := range 50 {
			keys := make([]string, 40)
			for i := range keys {
				keys[i] = randomKey(r)
			}
			if round%2 == 0 {
				slices.Sort(keys)
			}
			records := make([]Record, len(keys))
			tree.Load(keys, records)
			for i, key := range keys {
				m[key] = &records[i]
			}
			requireSame(t, r, tree, m)
			before, kept := tree.Copy(), maps.Clone(m)
			tree.Delete(keys[0])
			delete(m, keys[0])
			requireSame(t, r, before, kept)
		}
	}
	const pairs = 1000
	keys := make([]string, pairs)
	for i := range keys {
		keys[i] = fmt.Sprintf("%05d", i)
	}
	records := make([]Record, pairs)
	allocations := testing.AllocsPerRun(10, func() { NewOrdered().Load(keys, records) })
	require.Less(t, allocations, pairs/4.0, "allocations are not per key")
}

func TestSelect(t *testing.T) {
	tree, m := New(), model{}
	for i := range 1000 {
		key := fmt.Sprintf("%03d", i)
		m[key] = &Record{}
		tree.Set(key, m[key])
	}
	for _, prefixes := range [][]string{{""}, {"1"}, {"12", "3", "99"}, {"x"}, {}} {
		selected := tree.Select(prefixes)
		var want []string
		for _, prefix := range prefixes {
			keys, _ := m.scan(prefix, "")
			want = append(want, keys...)
		}
		keys, _ := scan(selected, "", "")
		require.Equal(t, want, keys)
		selected.Set("new", &Record{})
		selected.Delete("120")
		require.Nil(t, tree.Get("new"))
		require.Same(t, m["120"], tree.Get("120"))
	}
	keys, records := scan(tree, "", "")
	wantKeys, wantRecords := m.scan("", "")
	require.Equal(t, wantKeys, keys)
	require.Equal(t, wantRecords, records)
}

func TestScanStops(t *testing.T) {
	tree := New()
	for _, key := range []string{"a", "b", "c"} {
		tree.Set(key, &Record{})
	}
	var seen []string
	tree.Scan("", "", func(key string, _ *Record) bool {
		seen = append(seen, key)
		return key != "b"
	})
	require.Equal(t, []string{"a", "b"}, seen)
}

// A copy is read without a lock while its origin is written to, and the other way round.
// The race detector reports shared writes.
func TestCopyIsReadWhileOriginIsWritten(t *testing.T) {
	const keys = 5000
	origin := New()
	value := func(i, round int) *Record { return &Record{Modified: uint64(i), Created: uint64(round)} }
	for i := range keys {
		origin.Set(fmt.Sprint(i), value(i, 0))
	}
	var readers sync.WaitGroup
	for round := range 10 {
		c := origin.Copy()
		readers.Go(func() {
			seen := 0
			c.Scan("", "", func(_ string, r *Record) bool {
				seen++
				return r.Created <= uint64(round)
			})
			if seen != keys {
				t.Errorf("round %d: a later write is in the copy, or a key is missing: %d of %d", round, seen, keys)
			}
			for i := range keys { // the copy may be written to as well
				c.Set(fmt.Sprint(i), value(i, 100))
			}
		})
		for i := range keys {
			origin.Set(fmt.Sprint(i), value(i, round+1))
			if i%3 == 0 {
				origin.Delete(fmt.Sprint(i))
				origin.Set(fmt.Sprint(i), value(i, round+1))
			}
		}
	}
	readers.Wait()
	origin.Scan("", "", func(key string, r *Record) bool {
		require.Equal(t, uint64(10), r.Created, key)
		return true
	})
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// full returns a tree with dirs directories of perDir keys.
func full(dirs, perDir int) *Tree {
	t := New()
	for d := range dirs {
		for i := range perDir {
			t.Set(fmt.Sprintf("%04d/%05d", d, i), &Record{})
		}
	}
	return t
}

var largeSize = flag.Int("kvdb.keys", 100_000,
	"keys in the large tree of TestWorkDoesNotDependOnSize; the documentation promises 1000000")

// The work of an operation is the same in a small and in a large tree.
func TestWorkDoesNotDependOnSize(t *testing.T) {
	const fewNodes = 32 << 10 // bytes
	for _, size := range []int{1_000, *largeSize} {
		tree := full(size/100, 100)

		visits := 0
		visit := func(string, *Record) bool { visits++; return true }
		tree.Scan("0000/", "", visit)
		require.Equal(t, 100, visits, "a scan visits only the keys that it finds")
		require.LessOrEqual(t, testing.AllocsPerRun(10, func() { tree.Scan("0000/", "", visit) }), 1.0)

		record := &Record{}
		overwrite := func() { tree.Set("0000/00050", record) }
		require.Zero(t, testing.AllocsPerRun(100, overwrite), "an overwrite does not change the btree")

		var c *Tree
		require.Less(t, allocated(func() { c = tree.Copy() }), uint64(fewNodes))
		require.Less(t, allocated(overwrite), uint64(fewNodes))
		require.Less(t, allocated(func() { c.Delete("0000/00050") }), uint64(fewNodes))
		require.Zero(t, testing.AllocsPerRun(100, overwrite), "only the first write after a copy changes the btree")
	}
}

// The work of Children depends on the number of names, not on the keys below them.
func TestChildrenSkipsKeysBelow(t *testing.T) {
	const dirs = 100
	for _, perDir := range []int{1, maxSteps, 1000} {
		tree := full(dirs, perDir)
		names := 0
		name := func(rest, sep string) string { names++; return firstName(rest, sep) }
		require.Len(t, tree.Children("", "/", name), dirs)
		require.Equal(t, names, dirs)
		allocations := testing.AllocsPerRun(10, func() { tree.Children("", "/", firstName) })
		require.Less(t, allocations, dirs/4.0, "allocations are not per name")
	}
}

func TestAfter(t *testing.T) {
	for prefix, want := range map[string]string{
		"a": "b", "ab": "ac", "a\xff": "b", "a\xff\xff": "b", "\x00": "\x01", "a/": "a0", "\xfe\xff": "\xff",
	} {
		got, ok := After(prefix)
		require.True(t, ok)
		require.Equal(t, want, got, "%q", prefix)
	}
	for _, prefix := range []string{"", "\xff", "\xff\xff"} {
		_, ok := After(prefix)
		require.False(t, ok, "%q", prefix)
	}
}

func TestNewRecord(t *testing.T) {
	for _, size := range []int{0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000} {
		value := []byte(strings.Repeat("v", size))
		r := NewRecord(value)
		require.Equal(t, value, r.Value)
		require.Equal(t, size, len(r.Value))
		for i := range value {
			value[i] = 'X'
		}
		require.Equal(t, strings.Repeat("v", size), string(r.Value), "the record has a copy of the value")
		if size <= 128 {
			require.Equal(t, size, cap(r.Value), "an append must copy the value")
			require.LessOrEqual(t, testing.AllocsPerRun(10, func() { kept = NewRecord(value) }), 1.0)
		}
	}
}

var kept *Record
