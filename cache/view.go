package cache

import (
	"iter"
	"strings"

	"github.com/tidwall/btree"

	"github.com/portworx/kvdb"
)

// entry is a pair with its decoded value. It is immutable.
type entry struct {
	pair    kvdb.KVPair
	decoded any   // of an Of
	err     error // why it could not be decoded
}

// table has the entries by their keys, for lookups and in order.
type table struct {
	points points
	order  *btree.Map[string, *entry]
}

func newTable() *table { return &table{newPoints(), &btree.Map[string, *entry]{}} }

func (t *table) set(e *entry) {
	t.points.set(e)
	t.order.Set(e.pair.Key, e)
}

// load is set, and fast for the last key.
func (t *table) load(e *entry) {
	t.points.set(e)
	t.order.Load(e.pair.Key, e)
}

// delete removes a key, which must exist.
func (t *table) delete(key string) {
	t.points.delete(key)
	t.order.Delete(key)
}

// copy returns a table that must not be changed, in O(1).
func (t *table) copy() table { return table{t.points.copy(), t.order.Copy()} }

// View is a state of the store, or of the part below the cache's prefix. It never changes,
// and may be used concurrently. It costs little to keep one: views share what is equal.
type View struct {
	table             table
	index, generation uint64
}

// Get returns the pair at key, or [kvdb.ErrNotFound]. The pair is shared: it must not be
// modified, and neither must its value.
func (v *View) Get(key string) (*kvdb.KVPair, error) {
	if e := v.table.points.get(key); e != nil {
		return &e.pair, nil
	}
	return nil, kvdb.ErrNotFound
}

// Range iterates over the pairs that Enumerate(prefix) returns, sorted by key: those whose
// keys begin with prefix, without those whose last component begins with "_". The pairs are
// shared: they must not be modified.
func (v *View) Range(prefix string) iter.Seq2[string, *kvdb.KVPair] {
	return func(yield func(string, *kvdb.KVPair) bool) {
		v.scan(prefix, func(e *entry) bool { return isHidden(e.pair.Key) || yield(e.pair.Key, &e.pair) })
	}
}

// All iterates over all pairs, sorted by key, also those that Range leaves out. The pairs
// are shared: they must not be modified.
func (v *View) All() iter.Seq2[string, *kvdb.KVPair] {
	return func(yield func(string, *kvdb.KVPair) bool) {
		v.scan("", func(e *entry) bool { return yield(e.pair.Key, &e.pair) })
	}
}

func (v *View) scan(prefix string, visit func(*entry) bool) {
	v.table.order.Ascend(prefix, func(key string, e *entry) bool {
		return strings.HasPrefix(key, prefix) && visit(e)
	})
}

// isHidden reports whether Enumerate leaves the key out.
func isHidden(key string) bool {
	return strings.HasPrefix(key[strings.LastIndex(key, kvdb.DefaultSeparator)+1:], "_")
}

// Len returns the number of pairs, including those that Range leaves out.
func (v *View) Len() int { return v.table.order.Len() }

// Index returns the store's index at the time of the state. It is at least the ModifiedIndex
// of every pair, and the view has every write below the prefix up to it.
func (v *View) Index() uint64 { return v.index }

// Generation returns the generation of the store's history. It is 1, and grows by one each
// time that the cache finds that the store went back to an earlier state, because it was
// restored from a backup, wiped or replaced. The index may be smaller than before then.
func (v *View) Generation() uint64 { return v.generation }
