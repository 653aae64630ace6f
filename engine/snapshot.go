package engine

import (
	"bytes"
	"context"
	"math"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/common"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// Snapshot returns a read-only copy of the pairs below prefixes.
func (kv *view) Snapshot(prefixes []string, consistent bool) (_ kvdb.Kvdb, _ uint64, err error) {
	key := ""
	if len(prefixes) == 1 {
		key = prefixes[0]
	}
	kv, op := kv.start("snapshot", key)
	if op != nil {
		defer op.end(&err)
	}
	if len(prefixes) == 0 {
		prefixes = []string{""}
	}
	full := make([]string, len(prefixes))
	for i, prefix := range prefixes {
		var err error
		if full[i], err = kv.stringPrefix(prefix); err != nil {
			return nil, 0, err
		}
	}
	ctx, cancel, err := kv.beginUnbounded()
	if err != nil {
		return nil, 0, err
	}
	defer cancel()
	copied, index, err := kv.copied(ctx, common.PrunePrefixes(full), consistent)
	if err != nil {
		return nil, 0, err
	}
	store := &snapshotStore{tree: copied, index: index, profile: kv.profile}
	snapshot, err := New(Config{Name: kv.name, Domain: kv.domain, Store: store})
	return snapshot, index, err
}

// copied returns a tree of the pairs whose keys have one of prefixes; see driver.Snapshotter.
func (kv *view) copied(ctx context.Context, prefixes []string, consistent bool) (*tree.Tree, uint64, error) {
	switch s := kv.store.(type) {
	case tree.Source:
		all, index, err := s.Freeze(prefixes, consistent)
		if err != nil {
			return nil, 0, err
		}
		if !consistent {
			index = 0
		}
		return all.Select(prefixes), index, nil
	case driver.Snapshotter:
		pairs, index, err := s.Snapshot(ctx, prefixes, consistent)
		if err != nil {
			return nil, 0, err
		}
		return treeOf(pairs), index, nil
	}
	return nil, 0, kvdb.ErrNotSupported
}

// treeOf returns a tree of pairs, which the caller must not use afterwards. Its clock begins
// at 0.
func treeOf(pairs kvdb.KVPairs) *tree.Tree {
	t := tree.NewOrdered()
	keys, records := make([]string, len(pairs)), make([]tree.Record, len(pairs))
	for i, pair := range pairs {
		keys[i], records[i] = pair.Key, recordOf(pair, t.Taken)
	}
	t.Load(keys, records)
	return t
}

// recordOf returns the record of a pair, and shares its value. The TTL begins at the time at.
func recordOf(pair *kvdb.KVPair, at int64) tree.Record {
	r := tree.Record{Value: pair.Value, Created: pair.CreatedIndex, Modified: pair.ModifiedIndex}
	if pair.TTL > 0 {
		r.Expires = at + min(pair.TTL, (math.MaxInt64-at)/int64(time.Second))*int64(time.Second)
	}
	return r
}

// snapshotStore is the store of a snapshot: a tree that only SnapPut and Delete change.
type snapshotStore struct {
	profile driver.Profile

	mu    sync.RWMutex // protects the fields below
	tree  *tree.Tree
	index uint64 // of the snapshot, 0 if it need not show one moment
	last  uint64 // the largest index in a pair that SnapPut has put
}

var (
	_ driver.ObjectStore = (*snapshotStore)(nil)
	_ driver.ChildLister = (*snapshotStore)(nil)
	_ driver.TTLReader   = (*snapshotStore)(nil)
	_ driver.SnapPutter  = (*snapshotStore)(nil)
	_ tree.Source        = (*snapshotStore)(nil)
)

func (s *snapshotStore) Profile() driver.Profile {
	profile := s.profile
	profile.OpTimeout = 0
	return profile
}

func (s *snapshotStore) record(key string) (*tree.Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.tree.Get(key); r != nil {
		return r, nil
	}
	return nil, kvdb.ErrNotFound
}

// pair returns a copy of r. Its TTL is the rest at the time of the snapshot.
func (s *snapshotStore) pair(key string, r *tree.Record) *kvdb.KVPair {
	return &kvdb.KVPair{
		Key: key, Value: bytes.Clone(r.Value), KVDBIndex: s.index,
		CreatedIndex: r.Created, ModifiedIndex: r.Modified, TTL: r.TTL(s.tree.Taken),
	}
}

func (s *snapshotStore) Get(_ context.Context, key string) (*kvdb.KVPair, error) {
	r, err := s.record(key)
	if err != nil {
		return nil, err
	}
	return s.pair(key, r), nil
}

// TTL implements driver.TTLReader. The remaining time is that when the snapshot was taken.
func (s *snapshotStore) TTL(_ context.Context, key string) (time.Duration, bool, error) {
	r, err := s.record(key)
	if err != nil {
		return 0, false, err
	}
	remaining, has := r.Remaining(s.tree.Taken)
	return remaining, has, nil
}

func (s *snapshotStore) GetObject(_ context.Context, key string) (any, error) {
	r, err := s.record(key)
	if err != nil {
		return nil, err
	}
	return objectOf(r, s.pair(key, r)), nil
}

// objectOf returns the caller's object, or the value if the store does not keep objects.
func objectOf(r *tree.Record, pair *kvdb.KVPair) any {
	if r.Object != nil {
		return r.Object
	}
	return pair.Value
}

func (s *snapshotStore) List(_ context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	page := driver.Page{Pairs: kvdb.KVPairs{}, Index: s.index}
	s.tree.Scan(prefix, o.From, func(key string, r *tree.Record) bool {
		if o.Limit > 0 && len(page.Pairs) == o.Limit {
			page.More = true
			return false
		}
		if o.KeysOnly {
			r = &tree.Record{Created: r.Created, Modified: r.Modified, Expires: r.Expires}
		}
		page.Pairs = append(page.Pairs, s.pair(key, r))
		return true
	})
	return page, nil
}

func (s *snapshotStore) ListObjects(_ context.Context, prefix string, _ driver.ListOptions) (driver.Page, []any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	page, objects := driver.Page{Pairs: kvdb.KVPairs{}, Index: s.index}, []any{}
	s.tree.Scan(prefix, "", func(key string, r *tree.Record) bool {
		pair := s.pair(key, r)
		page.Pairs = append(page.Pairs, pair)
		objects = append(objects, objectOf(r, pair))
		return true
	})
	return page, objects, nil
}

func (s *snapshotStore) Children(_ context.Context, dir, sep string) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tree.Children(dir, sep, driver.ChildName), nil
}

func (s *snapshotStore) SnapPut(_ context.Context, key string, pair *kvdb.KVPair) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, pair.CreatedIndex, pair.ModifiedIndex)
	r := recordOf(pair, s.tree.Taken)
	r.Value = bytes.Clone(r.Value)
	s.tree.Set(key, &r)
	return nil
}

// Delete refuses a condition, because CompareAndDelete of a snapshot is driver.ErrSnap.
func (s *snapshotStore) Delete(_ context.Context, key string, c driver.Cond) (*kvdb.KVPair, error) {
	if c.NeedsKey() {
		return nil, driver.ErrSnap
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.tree.Get(key)
	if r == nil {
		return nil, kvdb.ErrNotFound
	}
	s.tree.Delete(key)
	return s.pair(key, r), nil
}

// Freeze implements tree.Source.
func (s *snapshotStore) Freeze(_ []string, mark bool) (*tree.Tree, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	index := s.index
	if mark && s.last >= index {
		index = s.last + 1 // greater than the ModifiedIndex of every pair
	}
	return s.tree.Copy(), index, nil
}

func (s *snapshotStore) Put(context.Context, driver.Write) (driver.Indexes, error) {
	return driver.Indexes{}, driver.ErrSnap
}

func (s *snapshotStore) DeletePrefix(context.Context, string) error { return driver.ErrSnap }

func (s *snapshotStore) Watch(context.Context, driver.WatchRequest) (driver.Stream, error) {
	return nil, driver.ErrSnap
}

func (s *snapshotStore) Lock(context.Context, string, string, time.Duration) (driver.Lease, error) {
	return nil, driver.ErrSnap
}

func (s *snapshotStore) LockOwner(context.Context, string) (string, bool, error) {
	return "", false, nil
}

func (s *snapshotStore) Close(context.Context) error { return nil }
