package bolt

import (
	"context"
	"slices"
	"strings"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// Put implements driver.Store.
func (s *store) Put(ctx context.Context, w driver.Write) (indexes driver.Indexes, err error) {
	err = s.update(ctx, &write{apply: func(t *txn) error {
		old, err := t.check(w.Key, w.Cond)
		if err == nil {
			indexes = t.set(w, old)
		}
		return err
	}})
	return indexes, err
}

// Create implements driver.Creator.
func (s *store) Create(ctx context.Context, w driver.Write) (indexes driver.Indexes, existing *kvdb.KVPair, err error) {
	err = s.update(ctx, &write{apply: func(t *txn) error {
		old, err := t.check(w.Key, w.Cond)
		if err == nil {
			indexes = t.set(w, old)
		} else if old != nil {
			existing = newPair(w.Key, old, t.index)
			existing.TTL = old.TTL(t.now)
		}
		return err
	}})
	if err != kvdb.ErrExist { // for example an error of the disk
		existing = nil
	}
	return indexes, existing, err
}

// Delete implements driver.Store.
func (s *store) Delete(ctx context.Context, key string, c driver.Cond) (pair *kvdb.KVPair, err error) {
	c.Present = true
	err = s.update(ctx, &write{apply: func(t *txn) error {
		old, err := t.check(key, c)
		if err == nil {
			t.remove(key, old)
			pair = newPair(key, old, t.index)
		}
		return err
	}})
	if err != nil {
		return nil, err
	}
	return pair, nil
}

// DeletePrefix implements driver.Store.
func (s *store) DeletePrefix(ctx context.Context, prefix string) error {
	return s.update(ctx, &write{apply: func(t *txn) error {
		type pair struct {
			key    string
			record *tree.Record
		}
		var pairs []pair
		all := &scan{ctx: ctx, path: t.path, c: t.pairs.Cursor()}
		err := all.each(prefix, "", func(key []byte, r tree.Record) bool {
			pairs = append(pairs, pair{string(key), &r})
			return true
		})
		if err != nil {
			return err
		}
		for _, p := range pairs {
			t.remove(p.key, p.record)
		}
		return nil
	}})
}

// Commit implements driver.Transactor.
func (s *store) Commit(ctx context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	commit := func() error {
		return s.update(ctx, &write{apply: func(t *txn) error { return t.commit(reads, writes) }})
	}
	if len(locks) == 0 {
		return commit()
	}
	// The locks are held until the commit is done, so the next holder sees it.
	return s.session.Held(locks, commit)
}

func (t *txn) commit(reads []driver.Read, writes []driver.Write) error {
	for _, read := range reads {
		r, err := t.get(read.Key)
		if err != nil {
			return err
		}
		if r == nil && read.Modified != 0 || r != nil && r.Modified != read.Modified {
			return kvdb.ErrModified
		}
	}
	old := make([]*tree.Record, len(writes))
	for i, w := range writes {
		var err error
		if old[i], err = t.get(w.Key); err != nil {
			return err
		}
	}
	type pair struct {
		key     string
		encoded []byte
	}
	pairs := make([]pair, 0, len(writes))
	for i, w := range writes {
		switch {
		case !w.Delete:
			_, encoded := t.prepare(w, old[i])
			pairs = append(pairs, pair{w.Key, encoded})
		case old[i] != nil:
			t.remove(w.Key, old[i])
		}
	}
	// bbolt keeps the new keys of a transaction in one sorted array per page. Keys that
	// come in order are appended; others are inserted, which is slow for many keys.
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	for _, p := range pairs {
		t.put(p.key, p.encoded)
	}
	return nil
}
