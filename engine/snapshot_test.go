package engine

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// The index of a snapshot of a snapshot is larger than that of each of its pairs,
// also of one that was put.
func TestSnapshotOfASnapshot(t *testing.T) {
	for _, modified := range []uint64{6, 7, 8} {
		store := &snapshotStore{tree: tree.New(), index: 7}
		kv := open(t, store, nil)
		_, err := kv.SnapPut(&kvdb.KVPair{Key: "key", CreatedIndex: 1, ModifiedIndex: modified})
		require.NoError(t, err)
		_, index, err := kv.Snapshot(nil, true)
		require.NoError(t, err)
		require.Greater(t, index, modified)
		require.NoError(t, kv.Close())
	}
}

// snapshotting is a fake that remembers what a snapshot was asked of.
type snapshotting struct {
	*fake
	prefixes []string
}

func (s *snapshotting) Snapshot(_ context.Context, prefixes []string, _ bool) (kvdb.KVPairs, uint64, error) {
	s.prefixes = prefixes
	return nil, 0, nil
}

// Overlapping prefixes are read only once.
func TestSnapshotOfOverlappingPrefixes(t *testing.T) {
	store := &snapshotting{fake: &fake{}}
	kv := open(t, store, nil)
	_, _, err := kv.Snapshot([]string{"b/c", "a", "b", "ab"}, false)
	require.NoError(t, err)
	require.Equal(t, []string{"domain/a", "domain/b"}, store.prefixes)
	require.NoError(t, kv.Close())
}

// The pair that SnapPut returns is the caller's.
func TestSnapPutReturnsACopy(t *testing.T) {
	kv := open(t, &snapshotStore{tree: tree.New()}, nil)
	given := &kvdb.KVPair{Key: "key", Value: []byte("value")}
	pair, err := kv.SnapPut(given)
	require.NoError(t, err)
	pair.Value[0] = 'X'
	require.Equal(t, "value", string(given.Value))
	require.NoError(t, kv.Close())
}

// A snapshot has the pairs as the store gave them, with the TTLs that were left.
func TestSnapshotOfPairs(t *testing.T) {
	pairs := kvdb.KVPairs{
		{Key: "domain/b", Value: []byte("1"), CreatedIndex: 1, ModifiedIndex: 3, KVDBIndex: 5, TTL: math.MaxInt64},
		{Key: "domain/a", Value: []byte("2"), CreatedIndex: 2, ModifiedIndex: 2, KVDBIndex: 5, TTL: 7},
	}
	kv := open(t, snapshotOf(pairs), nil)
	snapshot, index, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	require.EqualValues(t, 9, index)
	copied, err := snapshot.Enumerate("")
	require.NoError(t, err)
	require.Equal(t, kvdb.KVPairs{
		{Key: "a", Value: []byte("2"), Action: kvdb.KVGet, CreatedIndex: 2, ModifiedIndex: 2, KVDBIndex: 9, TTL: 7},
		{Key: "b", Value: []byte("1"), Action: kvdb.KVGet, CreatedIndex: 1, ModifiedIndex: 3, KVDBIndex: 9, TTL: math.MaxInt64 / int64(time.Second)},
	}, copied)
	_, _, err = open(t, &fake{}, nil).Snapshot(nil, true)
	require.Equal(t, kvdb.ErrNotSupported, err)
}

// snapshotOf is a fake that has a snapshot of these pairs.
func snapshotOf(pairs kvdb.KVPairs) driver.Store {
	return struct {
		*fake
		driver.Snapshotter
	}{&fake{}, fixed(pairs)}
}

type fixed kvdb.KVPairs

func (f fixed) Snapshot(context.Context, []string, bool) (kvdb.KVPairs, uint64, error) {
	return kvdb.KVPairs(f), 9, nil
}

// changing is a store in a tree that a write comes to after each first page.
type changing struct{ *snapshotStore }

func (c changing) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	page, err := c.snapshotStore.List(ctx, prefix, o)
	c.index++
	c.tree.Set(fmt.Sprint("domain/", c.index), &tree.Record{})
	return page, err
}

// The first page of an enumeration is of the same moment as the others, also when
// the store changes before it is copied.
func TestPagesOfAStoreThatChanges(t *testing.T) {
	store := changing{&snapshotStore{tree: tree.New()}}
	for i := range 3 {
		store.tree.Set(fmt.Sprint("domain/", i+2), &tree.Record{})
	}
	kv := open(t, store, nil)
	var keys []string
	for pair, err := range kv.EnumeratePages("", 2) {
		require.NoError(t, err)
		require.EqualValues(t, 1, pair.KVDBIndex)
		keys = append(keys, pair.Key)
	}
	require.Equal(t, []string{"1", "2", "3", "4"}, keys)
	require.NoError(t, kv.Close())
}
