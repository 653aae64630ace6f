package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Snapshot implements driver.Snapshotter.
func (s *store) Snapshot(ctx context.Context, prefixes []string, consistent bool) (kvdb.KVPairs, uint64, error) {
	var copied driver.Page
	copyAll := func(tx *bbolt.Tx) error {
		all := s.db.newScan(ctx, tx.Bucket(pairsBucket))
		for _, prefix := range prefixes {
			if err := all.list(&copied, prefix, driver.ListOptions{}); err != nil {
				return err
			}
		}
		return nil
	}
	if !consistent {
		if err := s.db.view(copyAll); err != nil {
			return nil, 0, err
		}
		return copied.Pairs, 0, nil
	}
	index, marked, err := s.mark(ctx)
	if err != nil && ctx.Err() == nil && takesNoWrites(err) {
		err = s.db.view(func(tx *bbolt.Tx) error {
			index = tx.Bucket(pairsBucket).Sequence()
			return copyAll(tx)
		})
		return copied.Pairs, index, err
	}
	if err != nil {
		return nil, 0, err
	}
	if err := s.db.read(marked, copyAll); err != nil {
		return nil, 0, err
	}
	return copied.Pairs, index, nil
}

// takesNoWrites reports whether err means that the file can be read but not written, for
// example because the disk is full. A snapshot then has the index of the state that it
// copies.
func takesNoWrites(err error) bool {
	return !errors.Is(err, kvdb.ErrClosed) && !errors.Is(err, kvdb.ErrUnknownOutcome) && !errors.Is(err, ErrCorrupt)
}

// mark is mark of the database, if the instance may write.
func (s *store) mark(ctx context.Context) (uint64, reader, error) {
	if s.readOnly {
		return 0, reader{}, ErrReadOnly
	}
	return s.db.mark(ctx)
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
