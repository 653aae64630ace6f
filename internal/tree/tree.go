// Package tree is the ordered in-memory map of keys to records that the mem
// backend and all snapshots live in: point reads at the speed of a Go map,
// scans in O(result), copies in O(1).
package tree

import (
	"slices"
	"strings"

	"github.com/tidwall/btree"
)

// Record is what is stored at a key. A Record is immutable once it is in a
// tree: readers may use it after they gave up the tree's lock.
type Record struct {
	Value             []byte
	Object            any // the caller's, if objects are kept
	Created, Modified uint64
	Expires           int64 // Unix time in ns; 0: never
}

// entry is a key's place in the order. An overwrite replaces its record in
// place, which leaves the btree alone, as long as no copy shares the entry.
type entry struct {
	key        string
	record     *Record
	generation uint64 // of the tree that made it
}

// Tree maps keys to records, ordered by key. It is not safe for concurrent
// writes; a copy and its origin are independent of each other.
type Tree struct {
	order btree.Map[string, *entry]
	// points has the same entries as order; nil in a copy, which reads order.
	points map[string]*entry
	// generation tells which entries are this tree's own: those with the same.
	generation uint64
}

// New returns an empty tree.
func New() *Tree { return &Tree{points: map[string]*entry{}} }

// Len returns the number of keys.
func (t *Tree) Len() int { return t.order.Len() }

// Get returns the record at key, or nil.
func (t *Tree) Get(key string) *Record {
	if e := t.entry(key); e != nil {
		return e.record
	}
	return nil
}

func (t *Tree) entry(key string) *entry {
	if t.points != nil {
		return t.points[key]
	}
	e, _ := t.order.Get(key)
	return e
}

// Set puts record at key.
func (t *Tree) Set(key string, record *Record) {
	e := t.entry(key)
	if e != nil && e.generation == t.generation {
		e.record = record
		return
	}
	if e != nil {
		key = e.key
	}
	e = &entry{key: key, record: record, generation: t.generation}
	t.order.Set(key, e)
	if t.points != nil {
		t.points[key] = e
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

// Children returns what name makes of each key with the prefix dir less dir,
// each once, sorted, and without the empty string. Keys that begin with a name
// and sep are skipped in one step.
func (t *Tree) Children(dir, sep string, name func(rest, sep string) string) []string {
	names := []string{}
	for pivot, more := dir, true; more; {
		more = false
		t.order.Ascend(pivot, func(key string, _ *entry) bool {
			if !strings.HasPrefix(key, dir) {
				return false
			}
			child := name(key[len(dir):], sep)
			if child == "" {
				return true
			}
			names = append(names, child)
			if len(dir)+len(child) == len(key) {
				return true
			}
			pivot, more = After(dir + child + sep)
			return false
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// After returns the first string behind all that have prefix, and false when
// there is none.
func After(prefix string) (string, bool) {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1]), true
		}
	}
	return "", false
}

// Copy returns an independent tree with the same content in O(1), whatever
// the size: both share structure until one of them changes it. It counts as a
// write to t.
func (t *Tree) Copy() *Tree {
	t.generation++
	c := &Tree{generation: t.generation}
	c.order = *t.order.Copy()
	return c
}

// Select returns an independent tree with the keys that have one of prefixes,
// of which none may cover another: in O(1) for the one prefix that every key
// has, else by copying. It counts as a write to t.
func (t *Tree) Select(prefixes []string) *Tree {
	if len(prefixes) == 1 && prefixes[0] == "" {
		return t.Copy()
	}
	selected := New()
	for _, prefix := range prefixes {
		t.Scan(prefix, "", func(key string, record *Record) bool {
			selected.Set(key, record)
			return true
		})
	}
	return selected
}
