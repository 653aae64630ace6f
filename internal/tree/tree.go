// Package tree is the ordered in-memory map of keys to records that the mem
// backend and all snapshots live in: point reads at the speed of a Go map,
// scans in O(result), copies in O(1).
package tree

import (
	"slices"
	"strings"

	"github.com/tidwall/btree"
)

// entry is a key's place in the order. An overwrite replaces its record in
// place, which leaves the btree alone, as long as no copy shares the entry.
type entry struct{ record *Record }

// point is what a key leads to. It repeats the entry's record, and knows whether
// the entry may be written to, because a point read or write waits for memory
// and not for the processor: neither has to look into the entry.
type point struct {
	entry      *entry
	record     *Record
	generation uint64 // of the tree when it made the entry
}

// Tree maps keys to records, ordered by key. It is not safe for concurrent
// writes; a copy and its origin are independent of each other.
type Tree struct {
	order btree.Map[string, *entry]
	// points has the same keys as order; nil in a copy and in a tree made by
	// NewOrdered, which read order.
	points map[string]point
	// generation is that of the entries that no copy shares.
	generation uint64
	// Taken is the time, on the clock of the records' Expires, at which a copy
	// was made of a store.
	Taken int64
}

// New returns an empty tree.
func New() *Tree { return &Tree{points: map[string]point{}} }

// NewOrdered returns an empty tree that costs less to fill in the order of the
// keys, and a little more to read points of.
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
		t.order.Load(key, &entry{record}) // is Set, and fast for the last key
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

// Load is Set of each key with the record of the same place, and allocates less.
// What it is given is the tree's from now on.
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

// Delete removes key, if it is there.
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

// maxSteps is the number of keys below one name that Children steps over one by
// one, before it seeks behind them: a seek costs about as much.
const maxSteps = 16

// Children returns what name makes of each key with the prefix dir less dir,
// each once, sorted, and without the empty string. A name shorter than rest
// must be that of all keys that begin with it and sep: they are skipped, so that
// it costs O(names), however many keys are below them.
func (t *Tree) Children(dir, sep string, name func(rest, sep string) string) []string {
	names := make([]string, 0, 64)
	sorted := true // and each once
	var seek seeker
	child, shared, steps := "", false, 0 // shared: sep follows the child in a key
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

// seeker makes strings to seek to. They are parts of one that grows, which
// saves allocations.
type seeker struct {
	made    strings.Builder
	scratch []byte
}

// After returns the first string behind all that have prefix, and false when
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

// Copy returns an independent tree with the same content in O(1), whatever
// the size: both share structure until one of them changes it. It counts as a
// write to t.
func (t *Tree) Copy() *Tree {
	t.generation++
	return &Tree{order: *t.order.Copy(), Taken: t.Taken}
}

// Select returns an independent tree with the keys that have one of prefixes,
// of which none may cover another: in O(1) for the one prefix that every key
// has, else by copying. It counts as a write to t.
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
