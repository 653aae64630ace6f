package bolt

import (
	"bytes"
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/tree"
)

// Snapshot implements driver.Store.
func (s *store) Snapshot(ctx context.Context, prefixes []string, consistent bool) (*tree.Tree, uint64, error) {
	copied := tree.NewOrdered()
	copyAll := func(tx *bbolt.Tx) error {
		all := s.db.newScan(ctx, tx.Bucket(pairsBucket))
		copied.Taken = all.now
		for _, prefix := range prefixes {
			err := all.each(prefix, "", func(key []byte, r tree.Record) bool {
				r.Value = bytes.Clone(r.Value)
				copied.Set(string(key), &r)
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	if !consistent {
		if err := s.db.view(copyAll); err != nil {
			return nil, 0, err
		}
		return copied, 0, nil
	}
	index, marked, err := s.db.mark(ctx)
	if err != nil && ctx.Err() == nil && takesNoWrites(err) {
		err = s.db.view(func(tx *bbolt.Tx) error {
			index = tx.Bucket(pairsBucket).Sequence()
			return copyAll(tx)
		})
		return copied, index, err
	}
	if err != nil {
		return nil, 0, err
	}
	if err := s.db.read(marked, copyAll); err != nil {
		return nil, 0, err
	}
	return copied, index, nil
}

// takesNoWrites reports whether err means that the file can be read but not written, for
// example because the disk is full. A snapshot then has the index of the state that it
// copies.
func takesNoWrites(err error) bool {
	return !errors.Is(err, kvdb.ErrClosed) && !errors.Is(err, kvdb.ErrUnknownOutcome) && !errors.Is(err, ErrCorrupt)
}

// mark returns a new index, and a transaction that sees exactly the writes before it.
func (db *database) mark(ctx context.Context) (index uint64, r reader, err error) {
	var beginErr error
	err = db.update(ctx, &write{
		apply: func(t *txn) error {
			t.index++
			index = t.index
			return nil
		},
		last:      true, // the transaction sees the whole batch
		committed: func() { r, beginErr = db.beginRead() },
	})
	if err == nil {
		err = beginErr
	}
	return index, r, err
}
