package bolt

import (
	"bytes"
	"context"
	"time"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
	"github.com/portworx/kvdb/internal/locktable"
	"github.com/portworx/kvdb/internal/tree"
)

// maxTTL keeps arithmetic with times far from overflow.
const maxTTL = 100 * 365 * 24 * time.Hour

var limits = driver.Limits{
	MaxTTL:           maxTTL,
	MaxKey:           bbolt.MaxKeySize,
	MaxValue:         64 << 20,
	Capabilities:     kvdb.KVCapabilityOrderedUpdates,
	EventKeyAsPrefix: true,
}

// store is what one instance has of a database.
type store struct {
	kvdb.Controller // all that Defragment and GetEndpoints leave

	db      *database
	session *locktable.Session
}

var (
	_ driver.Store       = (*store)(nil)
	_ driver.Transactor  = (*store)(nil)
	_ driver.ChildLister = (*store)(nil)
	_ driver.Compacter   = (*store)(nil)
	_ kvdb.Controller    = (*store)(nil)
)

func newStore(db *database) *store {
	s := &store{Controller: kvdb.ControllerNotSupported, db: db}
	s.session = db.locks.NewSession(s.token)
	return s
}

func (s *store) Limits() driver.Limits { return limits }

// token is an index of its own, which no restart gives out again.
func (s *store) token() (index uint64, err error) {
	err = s.db.update(s.db.lifetime, &write{apply: func(t *txn) error {
		t.index++
		index = t.index
		return nil
	}})
	return index, err
}

// Put implements driver.Store.
func (s *store) Put(ctx context.Context, w driver.Write) (indexes driver.Indexes, err error) {
	err = s.db.update(ctx, &write{apply: func(t *txn) error {
		old, err := t.check(w.Key, w.Cond)
		if err == nil {
			indexes = t.set(w, old)
		}
		return err
	}})
	return indexes, err
}

// Delete implements driver.Store.
func (s *store) Delete(ctx context.Context, key string, c driver.Cond) (pair *kvdb.KVPair, err error) {
	c.Present = true
	err = s.db.update(ctx, &write{apply: func(t *txn) error {
		old, err := t.check(key, c)
		if err == nil {
			t.remove(key, old, kvdb.KVDelete)
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
	return s.db.update(ctx, &write{apply: func(t *txn) error {
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
			action := kvdb.KVDelete
			if expired(*p.record, t.now) {
				action = kvdb.KVExpire
			}
			t.remove(p.key, p.record, action)
		}
		return nil
	}})
}

// Commit implements driver.Transactor.
func (s *store) Commit(ctx context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	commit := func() error {
		return s.db.update(ctx, &write{apply: func(t *txn) error { return t.commit(reads, writes) }})
	}
	if len(locks) == 0 {
		return commit()
	}
	// The locks are held until the commit is done: whoever gets one then sees it.
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
	for i, w := range writes {
		t.set(w, old[i])
	}
	return nil
}

// Watch implements driver.Store.
func (s *store) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	return s.db.log.Watch(ctx, r)
}

// Compact implements driver.Compacter.
func (s *store) Compact(_ context.Context, index uint64) error {
	s.db.log.Compact(index)
	return nil
}

// Snapshot implements driver.Store.
func (s *store) Snapshot(ctx context.Context, prefixes []string, consistent bool) (*tree.Tree, uint64, error) {
	copied := tree.New()
	copyAll := func(tx *bbolt.Tx) error {
		all := s.db.newScan(ctx, tx.Bucket(pairsBucket))
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
	index, tx, err := s.db.mark(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := s.db.read(tx, copyAll); err != nil {
		return nil, 0, err
	}
	return copied, index, nil
}

// mark takes an index of its own, and returns a transaction that sees what was
// written before and nothing of what comes later.
func (db *database) mark(ctx context.Context) (index uint64, tx *bbolt.Tx, err error) {
	var beginErr error
	err = db.update(ctx, &write{
		apply: func(t *txn) error {
			t.index++
			index = t.index
			return nil
		},
		last:      true, // the transaction sees the whole batch
		committed: func() { tx, beginErr = db.begin(db.file.Load(), false) },
	})
	if err == nil {
		err = beginErr
	}
	return index, tx, err
}

// Lock implements driver.Store.
func (s *store) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	return s.session.Lock(ctx, key, owner, wait)
}

// LockOwner implements driver.Store.
func (s *store) LockOwner(_ context.Context, key string) (string, bool, error) {
	owner, held := s.db.locks.Owner(key)
	return owner, held, nil
}

// Close implements driver.Store.
func (s *store) Close() error {
	s.session.Close()
	return s.db.shared.release()
}
