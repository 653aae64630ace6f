package bolt

import (
	"context"
	"time"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/locktable"
)

// maxTTL is a hundred years, so that times do not overflow.
const maxTTL = 100 * 365 * 24 * time.Hour

var profile = driver.Profile{
	MaxTTL:           maxTTL,
	MaxKey:           bbolt.MaxKeySize,
	MaxValue:         64 << 20,
	TxDeletes:        true,
	Capabilities:     kvdb.KVCapabilityOrderedUpdates,
	EventKeyAsPrefix: true,
}

// store implements driver.Store for one instance. Several stores can share a database.
type store struct {
	driver.MembersNotSupported // the methods except Defragment and GetEndpoints

	db       *database
	readOnly bool // the instance; the database may be open for other instances that write
	session  *locktable.Session
}

var (
	_ driver.Store       = (*store)(nil)
	_ driver.Creator     = (*store)(nil)
	_ driver.Transactor  = (*store)(nil)
	_ driver.ChildLister = (*store)(nil)
	_ driver.Compacter   = (*store)(nil)
	_ driver.TTLReader   = (*store)(nil)
	_ driver.Snapshotter = (*store)(nil)
	_ driver.MemberAdmin = (*store)(nil)
)

func newStore(db *database) *store {
	s := &store{db: db}
	s.session = db.locks.NewSession(s.token)
	return s
}

func (s *store) Profile() driver.Profile { return profile }

// update makes the write w.
func (s *store) update(ctx context.Context, w *write) error {
	if s.readOnly {
		return ErrReadOnly
	}
	return s.db.update(ctx, w)
}

// token returns a new index. It is on disk, so it stays unique after a restart.
func (s *store) token(ctx context.Context) (index uint64, err error) {
	err = s.update(ctx, &write{apply: func(t *txn) error {
		t.index++
		index = t.index
		return nil
	}})
	return index, err
}

// Watch implements driver.Store.
func (s *store) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	return s.db.log.Watch(ctx, r)
}

// Compact implements driver.Compacter.
func (s *store) Compact(_ context.Context, index uint64) error {
	if s.readOnly {
		return ErrReadOnly
	}
	s.db.log.Compact(index)
	return nil
}

// Lock implements driver.Store.
func (s *store) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	if s.readOnly {
		return nil, ErrReadOnly
	}
	return s.session.Lock(ctx, key, owner, wait)
}

// LockOwner implements driver.Store.
func (s *store) LockOwner(_ context.Context, key string) (string, bool, error) {
	owner, held := s.db.locks.Owner(key)
	return owner, held, nil
}

// Close implements driver.Store.
func (s *store) Close(context.Context) error {
	s.session.Close()
	return s.db.shared.release()
}
