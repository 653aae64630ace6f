package mem

import (
	"context"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// objectStore is a store that keeps the caller's objects.
type objectStore struct{ *store }

var (
	_ driver.ObjectStore = (*objectStore)(nil)
	_ driver.Transactor  = (*objectStore)(nil)
	_ driver.ChildLister = (*objectStore)(nil)
	_ driver.Compacter   = (*objectStore)(nil)
	_ driver.Freezer     = (*objectStore)(nil)
)

// withObject is newRecord with the object.
func withObject(w driver.Write) *tree.Record {
	r := newRecord(w)
	r.Object = w.Object
	return r
}

// Put implements driver.Store.
func (s *objectStore) Put(_ context.Context, w driver.Write) (driver.Indexes, error) {
	return s.put(w, withObject(w))
}

// Commit implements driver.Transactor.
func (s *objectStore) Commit(_ context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	return s.commit(reads, writes, locks, withObject)
}

// GetObject implements driver.ObjectStore.
func (s *objectStore) GetObject(_ context.Context, key string) (*kvdb.KVPair, any, error) {
	r, index, err := s.record(key)
	if err != nil {
		return nil, nil, err
	}
	return pair(key, r, index), r.Object, nil
}

// ListObjects implements driver.ObjectStore.
func (s *objectStore) ListObjects(_ context.Context, prefix string) (kvdb.KVPairs, []any, error) {
	found, err := s.find(prefix, driver.ListOptions{})
	if err != nil {
		return nil, nil, err
	}
	defer found.free()
	objects := make([]any, len(found.entries))
	for i, e := range found.entries {
		objects[i] = e.record.Object
	}
	return found.pairs(), objects, nil
}
