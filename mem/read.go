package mem

import (
	"context"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// record returns the record at key and the store's index.
func (s *store) record(key string) (*tree.Record, uint64, error) {
	if err := s.rlock(); err != nil {
		return nil, 0, err
	}
	defer s.mu.RUnlock()
	if r := s.tree.Get(key); r != nil {
		return r, s.index, nil
	}
	return nil, 0, kvdb.ErrNotFound
}

// pair returns a copy of r without its TTL.
func pair(key string, r *tree.Record, index uint64) *kvdb.KVPair {
	p := driver.NewPair(r.Value)
	p.Key, p.KVDBIndex, p.CreatedIndex, p.ModifiedIndex = key, index, r.Created, r.Modified
	return p
}

// read returns a copy of r with the rest of its TTL.
func (s *store) read(key string, r *tree.Record, index uint64) *kvdb.KVPair {
	p := pair(key, r, index)
	if r.Expires != 0 {
		p.TTL = r.TTL(s.now())
	}
	return p
}

// Get implements driver.Store.
func (s *store) Get(_ context.Context, key string) (*kvdb.KVPair, error) {
	r, index, err := s.record(key)
	if err != nil {
		return nil, err
	}
	return s.read(key, r, index), nil
}

// TTL implements driver.TTLReader.
func (s *store) TTL(_ context.Context, key string) (time.Duration, bool, error) {
	r, _, err := s.record(key)
	if err != nil {
		return 0, false, err
	}
	remaining, has := r.Remaining(s.now())
	return remaining, has, nil
}

// List implements driver.Store.
func (s *store) List(_ context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	found, err := s.find(prefix, o)
	if err != nil {
		return driver.Page{}, err
	}
	defer found.free()
	return found.page(o.KeysOnly), nil
}

// Children implements driver.ChildLister.
func (s *store) Children(_ context.Context, dir, sep string) ([]string, error) {
	if err := s.rlock(); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	return s.tree.Children(dir, sep, driver.ChildName), nil
}

// result is the result of a scan. It comes from a pool; free puts it back.
type result struct {
	entries []entry
	index   uint64 // of the store
	now     int64  // on the clock of expiry times
	more    bool   // there are entries beyond the limit
}

type entry struct {
	key    string
	record *tree.Record
}

var results = sync.Pool{New: func() any { return new(result) }}

// free puts r back into the pool, without its records.
func (r *result) free() {
	clear(r.entries)
	r.entries, r.more = r.entries[:0], false
	results.Put(r)
}

// find is scan for a caller that does not hold s.mu.
func (s *store) find(prefix string, o driver.ListOptions) (*result, error) {
	if err := s.rlock(); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	return s.scan(prefix, o), nil
}

// scan returns the records of keys that begin with prefix. The caller holds s.mu.
func (s *store) scan(prefix string, o driver.ListOptions) *result {
	found := results.Get().(*result)
	found.index, found.now = s.index, s.now()
	s.tree.Scan(prefix, o.From, func(key string, r *tree.Record) bool {
		if o.Limit > 0 && len(found.entries) == o.Limit {
			found.more = true
			return false
		}
		found.entries = append(found.entries, entry{key, r})
		return true
	})
	return found
}

func (r *result) page(keysOnly bool) driver.Page {
	return driver.Page{Pairs: r.pairs(keysOnly), Index: r.index, More: r.more}
}

// pairs returns copies of the entries, without their values if keysOnly. All pairs are one
// allocation, and all values are another one; the capacity of a value is its length.
func (r *result) pairs(keysOnly bool) kvdb.KVPairs {
	size := 0
	if !keysOnly {
		for _, e := range r.entries {
			size += len(e.record.Value)
		}
	}
	values := make([]byte, 0, size)
	slab := make([]kvdb.KVPair, len(r.entries))
	pairs := make(kvdb.KVPairs, len(r.entries))
	for i, e := range r.entries {
		start := len(values)
		if !keysOnly {
			values = append(values, e.record.Value...)
		}
		slab[i] = kvdb.KVPair{
			Key: e.key, Value: values[start:len(values):len(values)], KVDBIndex: r.index,
			CreatedIndex: e.record.Created, ModifiedIndex: e.record.Modified, TTL: e.record.TTL(r.now),
		}
		pairs[i] = &slab[i]
	}
	return pairs
}
