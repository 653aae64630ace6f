package mem

import (
	"context"
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/common"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// objectStore is a store that keeps the caller's objects. Reads and comparisons encode
// the current state of an object. The Value of its record is the encoding at the time of
// the write, which events have. s.mu is not held while an object is encoded, because an
// object may have its own MarshalJSON, which may call the store.
type objectStore struct{ *store }

var (
	_ driver.ObjectStore = (*objectStore)(nil)
	_ driver.Creator     = (*objectStore)(nil)
	_ driver.Transactor  = (*objectStore)(nil)
	_ driver.ChildLister = (*objectStore)(nil)
	_ driver.Compacter   = (*objectStore)(nil)
	_ driver.TTLReader   = (*objectStore)(nil)
	_ tree.Source        = (*objectStore)(nil)
)

// withObject is newRecord with the object.
func withObject(w driver.Write) *tree.Record {
	r := newRecord(w)
	r.Object = w.Object
	return r
}

// current returns r with the current encoding of its object.
func current(key string, r *tree.Record) (*tree.Record, error) {
	value, err := common.ToBytes(r.Object)
	if err != nil {
		return nil, fmt.Errorf("%w: value of key %q: %w", kvdb.ErrIllegal, key, err)
	}
	now := *r
	now.Value = value
	return &now, nil
}

// lastKnown is current, or r as it was written if the object cannot be encoded.
func lastKnown(key string, r *tree.Record) *tree.Record {
	if now, err := current(key, r); err == nil {
		return now
	}
	return r
}

// compare calls write with the condition c. If c has a value, compare checks it, and
// makes the condition of write that the record is still the one that was checked.
func (s *objectStore) compare(key string, c driver.Cond, write func(driver.Cond) error) error {
	if !c.HasValue {
		return write(c)
	}
	for {
		r, _, err := s.record(key)
		if err != nil {
			return err
		}
		now, err := current(key, r)
		if err != nil {
			return err
		}
		if err := check(now, c); err != nil {
			return err
		}
		err = write(driver.Cond{Modified: r.Modified})
		if err != kvdb.ErrModified && err != kvdb.ErrNotFound { // the record was the one compared
			return err
		}
	}
}

// Put implements driver.Store.
func (s *objectStore) Put(_ context.Context, w driver.Write) (indexes driver.Indexes, err error) {
	err = s.compare(w.Key, w.Cond, func(c driver.Cond) error {
		w.Cond = c
		indexes, err = s.put(w, withObject(w))
		return err
	})
	return indexes, err
}

// Create implements driver.Creator.
func (s *objectStore) Create(_ context.Context, w driver.Write) (driver.Indexes, *kvdb.KVPair, error) {
	indexes, existing, index, err := s.create(w, withObject(w))
	if existing == nil {
		return indexes, nil, err
	}
	return indexes, s.read(w.Key, lastKnown(w.Key, existing), index), err
}

// Delete implements driver.Store.
func (s *objectStore) Delete(_ context.Context, key string, c driver.Cond) (*kvdb.KVPair, error) {
	var old *tree.Record
	var index uint64
	err := s.compare(key, c, func(c driver.Cond) (err error) {
		old, index, err = s.delete(key, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return pair(key, lastKnown(key, old), index), nil
}

// Commit implements driver.Transactor.
func (s *objectStore) Commit(_ context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	return s.commit(reads, writes, locks, withObject)
}

// Get implements driver.Store.
func (s *objectStore) Get(_ context.Context, key string) (*kvdb.KVPair, error) {
	r, index, err := s.record(key)
	if err != nil {
		return nil, err
	}
	now, err := current(key, r)
	if err != nil {
		return nil, err
	}
	return s.read(key, now, index), nil
}

// List implements driver.Store.
func (s *objectStore) List(_ context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	found, err := s.find(prefix, o)
	if err != nil {
		return driver.Page{}, err
	}
	defer found.free()
	if o.KeysOnly {
		return found.page(true), nil
	}
	return encodedPage(found)
}

// encodedPage is found.page with the current encodings of the objects.
func encodedPage(found *result) (driver.Page, error) {
	for i := range found.entries {
		e := &found.entries[i]
		now, err := current(e.key, e.record)
		if err != nil {
			return driver.Page{}, err
		}
		e.record = now
	}
	return found.page(false), nil
}

// Freeze implements tree.Source.
func (s *objectStore) Freeze(prefixes []string, mark bool) (*tree.Tree, uint64, error) {
	copied, index, err := s.store.Freeze(prefixes, mark)
	if err != nil {
		return nil, 0, err
	}
	copied, err = encodedTree(copied.Select(prefixes))
	return copied, index, err
}

// encodedTree returns a copy of t with the current encodings of the objects.
func encodedTree(t *tree.Tree) (encoded *tree.Tree, err error) {
	encoded = tree.NewOrdered()
	encoded.Taken = t.Taken
	t.Scan("", "", func(key string, r *tree.Record) bool {
		if r, err = current(key, r); err == nil {
			encoded.Set(key, r)
		}
		return err == nil
	})
	return encoded, err
}

// GetObject implements driver.ObjectStore.
func (s *objectStore) GetObject(_ context.Context, key string) (any, error) {
	r, _, err := s.record(key)
	if err != nil {
		return nil, err
	}
	return r.Object, nil
}

// ListObjects implements driver.ObjectStore.
func (s *objectStore) ListObjects(_ context.Context, prefix string, o driver.ListOptions) (driver.Page, []any, error) {
	found, err := s.find(prefix, o)
	if err != nil {
		return driver.Page{}, nil, err
	}
	defer found.free()
	objects := make([]any, len(found.entries))
	for i, e := range found.entries {
		objects[i] = e.record.Object
	}
	if o.KeysOnly {
		return found.page(true), objects, nil
	}
	page, err := encodedPage(found)
	return page, objects, err
}
