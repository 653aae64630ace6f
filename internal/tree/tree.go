// Package tree is an ordered map of keys to records in memory, for the mem backend and all
// snapshots. Reads of one key are as fast as those of a Go map, scans cost O(result), and
// copies O(1).
package tree

import (
	"slices"
	"strings"

	"github.com/tidwall/btree"
)

// entry is an element of the btree. While no copy of the tree shares it, an overwrite
// replaces its record and does not touch the btree.
type entry struct{ record *Record }

// point is an element of the map. It repeats the record of the entry, and shows whether the
// entry may be changed, so that a read or write of one key need not load the entry.
// Accesses to memory dominate the time of these.
type point struct {
	entry      *entry
	record     *Record
	generation uint64 // of the tree when it made the entry
}

// Tree maps keys to records, ordered by key. It is not safe for concurrent writes. A copy and
// its origin are independent.
type Tree struct {
	order btree.Map[string, *entry]
	// points has the same keys as order. It is nil in a copy and in a tree made by
	// NewOrdered, where Get reads order.
	points map[string]point
	// generation is the generation of the entries that no copy shares.
	generation uint64
	// Taken is the time at which a store was copied, on the clock of the records' Expires.
	Taken int64
}

// New returns an empty tree.
func New() *Tree { return &Tree{points: map[string]point{}} }

// NewOrdered returns an empty tree that is faster to fill in the order of the keys, and a
// little slower to read one key of.
func NewOrdered() *Tree { return &Tree{} }

// Len returns the number of keys.
func (t *Tree) Len() int { return t.order.Len() }

// Get returns the record at key, or nil.
func (t *Tree) Get(key string) *Record {
	if t.points != nil {
		return t.points[key].record
	}
	if e, ok := t.order.Get(key); ok {
		return e.record
	}
	return nil
}

// Set puts record at key.
func (t *Tree) Set(key string, record *Record) {
	if t.points == nil {
		t.order.Load(key, &entry{record}) // the same as Set, but fast for the last key
		return
	}
	p, exists := t.points[key]
	if exists && p.generation == t.generation {
		p.entry.record = record
	} else {
		p.entry = &entry{record}
		t.order.Set(key, p.entry)
	}
	t.points[key] = point{p.entry, record, t.generation}
}

// Load sets each key to the record with the same index, with fewer allocations than Set. The
// caller must not use the records afterwards.
func (t *Tree) Load(keys []string, records []Record) {
	entries := make([]entry, len(keys))
	for i, key := range keys {
		if t.points != nil {
			t.Set(key, &records[i])
			continue
		}
		entries[i].record = &records[i]
		t.order.Load(key, &entries[i])
	}
}

// Delete removes key if it exists.
func (t *Tree) Delete(key string) {
	t.order.Delete(key)
	delete(t.points, key)
}

// Scan calls visit with the keys that have prefix and are not before from, in
// order, until visit returns false.
func (t *Tree) Scan(prefix, from string, visit func(key string, record *Record) bool) {
	t.order.Ascend(max(prefix, from), func(key string, e *entry) bool {
		return strings.HasPrefix(key, prefix) && visit(key, e.record)
	})
}

// maxSteps is the number of keys below one name that Children visits one by one before it
// seeks behind them, because a seek costs about as much.
const maxSteps = 16

// Children calls name with the rest behind dir of each key that has the prefix dir. It
// returns the results without duplicates and empty strings, sorted. A result that is shorter
// than rest must be the name of all keys that continue with it and sep. Children skips them,
// so it costs O(names), however many keys are below them.
func (t *Tree) Children(dir, sep string, name func(rest, sep string) string) []string {
	names := make([]string, 0, 64)
	sorted := true // names is in order without duplicates
	var seek seeker
	child, shared, steps := "", false, 0 // shared means that sep follows child in a key
	pivot, more := dir, true
	visit := func(key string, _ *entry) bool {
		rest, inside := strings.CutPrefix(key, dir)
		if !inside {
			return false
		}
		if shared && strings.HasPrefix(rest, child) && strings.HasPrefix(rest[len(child):], sep) {
			if steps++; steps < maxSteps {
				return true
			}
			pivot, more = seek.after(key[:len(dir)+len(child)+len(sep)])
			return false
		}
		last := child
		child = name(rest, sep)
		shared, steps = len(child) < len(rest), 0
		if child != "" {
			names = append(names, child)
			sorted = sorted && last < child
		}
		return true
	}
	for more {
		more = false
		t.order.Ascend(pivot, visit)
	}
	if sorted {
		return names
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// seeker makes strings to seek to. They are slices of one string that grows, which saves
// allocations.
type seeker struct {
	made    strings.Builder
	scratch []byte
}

// After returns the smallest string that sorts after all strings with prefix, and false if
// there is none.
func After(prefix string) (string, bool) { return new(seeker).after(prefix) }

func (s *seeker) after(prefix string) (string, bool) {
	end := len(prefix)
	for end > 0 && prefix[end-1] == 0xff {
		end--
	}
	if end == 0 {
		return "", false
	}
	s.scratch = append(s.scratch[:0], prefix[:end]...)
	s.scratch[end-1]++
	s.made.Write(s.scratch)
	return s.made.String()[s.made.Len()-end:], true
}

// Copy returns an independent tree with the same content, in O(1): both share their structure
// until one of them changes it. Copy counts as a write to t.
func (t *Tree) Copy() *Tree {
	t.generation++
	return &Tree{order: *t.order.Copy(), Taken: t.Taken}
}

// Select returns an independent tree with the keys that have one of prefixes, none of which
// may be a prefix of another. It costs O(1) for the empty prefix, and O(result) otherwise.
// Select counts as a write to t.
func (t *Tree) Select(prefixes []string) *Tree {
	if len(prefixes) == 1 && prefixes[0] == "" {
		return t.Copy()
	}
	selected := &Tree{Taken: t.Taken}
	for _, prefix := range prefixes {
		t.Scan(prefix, "", func(key string, record *Record) bool {
			selected.Set(key, record)
			return true
		})
	}
	return selected
}
