package mem

import (
	"context"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/eventlog"
	"github.com/portworx/kvdb/internal/locktable"
	"github.com/portworx/kvdb/internal/tree"
)

// profile is the same for all stores. MaxTTL is a hundred years, so that times do not
// overflow.
var profile = driver.Profile{
	MaxTTL:           100 * 365 * 24 * time.Hour,
	TxDeletes:        true,
	Capabilities:     kvdb.KVCapabilityOrderedUpdates,
	PrivateKeyspace:  true,
	EventKeyAsPrefix: true,
}

// store implements driver.Store. Records are immutable, so no mutex is held while
// their values are copied for callers.
type store struct {
	log     *eventlog.Log
	locks   *locktable.Table
	session *locktable.Session
	started time.Time // the zero of the clock of expiry times

	mu       sync.RWMutex // protects the fields below
	tree     *tree.Tree
	index    uint64 // of the last change
	expiries *btree.BTreeG[expiry]
	next     int64       // the time in expiries that timer is set to, 0 for none
	timer    *time.Timer // nil before the first TTL
	closed   bool
}

var (
	_ driver.Creator     = (*store)(nil)
	_ driver.Transactor  = (*store)(nil)
	_ driver.ChildLister = (*store)(nil)
	_ driver.Compacter   = (*store)(nil)
	_ driver.TTLReader   = (*store)(nil)
	_ tree.Source        = (*store)(nil)
)

func newStore(history int) *store {
	s := &store{
		log:      eventlog.New(history, 0),
		locks:    locktable.New(),
		started:  time.Now(),
		tree:     tree.New(),
		expiries: newExpiries(),
	}
	s.session = s.locks.NewSession(s.bump)
	return s
}

func (s *store) Profile() driver.Profile { return profile }

// lock begins a change. When it returns nil, s.mu is held for writing, and all expired
// keys are deleted.
func (s *store) lock() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return kvdb.ErrClosed
	}
	s.deleteExpired()
	return nil
}

// rlock is lock for a read. It does not rely on the timer to delete expired keys, so
// that a key that one reader saw as expired is expired for all, and the index of the
// reply includes its deletion.
func (s *store) rlock() error {
	s.mu.RLock()
	for !s.closed && s.due() {
		s.mu.RUnlock()
		if err := s.lock(); err != nil {
			return err
		}
		s.mu.Unlock()
		s.mu.RLock()
	}
	if s.closed {
		s.mu.RUnlock()
		return kvdb.ErrClosed
	}
	return nil
}

// bump returns a new index.
func (s *store) bump(context.Context) (uint64, error) {
	if err := s.lock(); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	s.index++
	return s.index, nil
}

// Put implements driver.Store.
func (s *store) Put(_ context.Context, w driver.Write) (driver.Indexes, error) {
	record := newRecord(w)
	return s.put(w, record)
}

func newRecord(w driver.Write) *tree.Record { return tree.NewRecord(w.Value) }

// put writes record, which has no index yet.
func (s *store) put(w driver.Write, record *tree.Record) (driver.Indexes, error) {
	if err := s.lock(); err != nil {
		return driver.Indexes{}, err
	}
	defer s.mu.Unlock()
	old := s.tree.Get(w.Key)
	if err := check(old, w.Cond); err != nil {
		return driver.Indexes{}, err
	}
	s.set(w.Key, old, record, w.TTL)
	return driver.Indexes{Created: record.Created, Modified: record.Modified}, nil
}

// Create implements driver.Creator.
func (s *store) Create(_ context.Context, w driver.Write) (driver.Indexes, *kvdb.KVPair, error) {
	indexes, existing, index, err := s.create(w, newRecord(w))
	if existing != nil {
		return indexes, s.read(w.Key, existing, index), err
	}
	return indexes, nil, err
}

// create is put for a key that must not exist. If it exists, create returns its record,
// the index of the store, and kvdb.ErrExist.
func (s *store) create(w driver.Write, record *tree.Record) (driver.Indexes, *tree.Record, uint64, error) {
	if err := s.lock(); err != nil {
		return driver.Indexes{}, nil, 0, err
	}
	defer s.mu.Unlock()
	if existing := s.tree.Get(w.Key); existing != nil {
		return driver.Indexes{}, existing, s.index, kvdb.ErrExist
	}
	s.set(w.Key, nil, record, w.TTL)
	return driver.Indexes{Created: record.Created, Modified: record.Modified}, nil, s.index, nil
}

func check(r *tree.Record, c driver.Cond) error {
	if r == nil {
		return c.CheckMissing()
	}
	return c.Check(r.Created, r.Modified, r.Value)
}

// set replaces the record old of key, nil if the key does not exist, by record. The
// caller has called lock.
func (s *store) set(key string, old, record *tree.Record, ttl time.Duration) {
	s.index++
	record.Created, record.Modified = s.index, s.index
	action := kvdb.KVCreate
	if old != nil {
		record.Created = old.Created
		action = kvdb.KVSet
	}
	if ttl > 0 {
		record.Expires = s.now() + int64(ttl)
	}
	s.tree.Set(key, record)
	s.reschedule(key, old, record)
	s.log.Append(eventlog.Event{Key: key, Action: action, Record: record, Index: s.index})
}

// remove deletes key, which has the record old. The caller has called lock.
func (s *store) remove(key string, old *tree.Record) {
	s.index++
	s.tree.Delete(key)
	s.reschedule(key, old, nil)
	s.log.Append(eventlog.Event{Key: key, Action: kvdb.KVDelete, Record: old, Index: s.index})
}

// Delete implements driver.Store.
func (s *store) Delete(_ context.Context, key string, c driver.Cond) (*kvdb.KVPair, error) {
	old, index, err := s.delete(key, c)
	if err != nil {
		return nil, err
	}
	return pair(key, old, index), nil
}

// delete returns the deleted record and the index of the delete.
func (s *store) delete(key string, c driver.Cond) (*tree.Record, uint64, error) {
	if err := s.lock(); err != nil {
		return nil, 0, err
	}
	defer s.mu.Unlock()
	c.Present = true
	old := s.tree.Get(key)
	if err := check(old, c); err != nil {
		return nil, 0, err
	}
	s.remove(key, old)
	return old, s.index, nil
}

// DeletePrefix implements driver.Store.
func (s *store) DeletePrefix(_ context.Context, prefix string) error {
	if err := s.lock(); err != nil {
		return err
	}
	defer s.mu.Unlock()
	found := s.scan(prefix, driver.ListOptions{})
	defer found.free()
	for _, e := range found.entries {
		s.remove(e.key, e.record)
	}
	return nil
}

// Commit implements driver.Transactor.
func (s *store) Commit(_ context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	return s.commit(reads, writes, locks, newRecord)
}

func (s *store) commit(reads []driver.Read, writes []driver.Write, locks []driver.Lease,
	newRecord func(driver.Write) *tree.Record) error {
	return s.session.Held(locks, func() error {
		if err := s.lock(); err != nil {
			return err
		}
		defer s.mu.Unlock()
		for _, read := range reads {
			modified := uint64(0)
			if r := s.tree.Get(read.Key); r != nil {
				modified = r.Modified
			}
			if modified != read.Modified {
				return kvdb.ErrModified
			}
		}
		for _, w := range writes {
			switch old := s.tree.Get(w.Key); {
			case !w.Delete:
				s.set(w.Key, old, newRecord(w), w.TTL)
			case old != nil:
				s.remove(w.Key, old)
			}
		}
		return nil
	})
}

// Watch implements driver.Store.
func (s *store) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	return s.log.Watch(ctx, r)
}

// Compact implements driver.Compacter.
func (s *store) Compact(_ context.Context, index uint64) error {
	s.log.Compact(index)
	return nil
}

// Freeze implements tree.Source.
func (s *store) Freeze(_ []string, mark bool) (*tree.Tree, uint64, error) {
	if err := s.lock(); err != nil {
		return nil, 0, err
	}
	defer s.mu.Unlock()
	if mark {
		s.index++
	}
	copied := s.tree.Copy()
	copied.Taken = s.now()
	return copied, s.index, nil
}

// Lock implements driver.Store.
func (s *store) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	return s.session.Lock(ctx, key, owner, wait)
}

// LockOwner implements driver.Store.
func (s *store) LockOwner(_ context.Context, key string) (string, bool, error) {
	owner, held := s.locks.Owner(key)
	return owner, held, nil
}

// Close implements driver.Store.
func (s *store) Close(context.Context) error {
	s.session.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	return nil
}
