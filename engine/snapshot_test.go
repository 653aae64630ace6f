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

// The index of a snapshot of a snapshot is larger than that of each of its pairs, including
// those of SnapPut.
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

// snapshotting is a fake that records the prefixes of a snapshot.
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

// The caller may change the pair that SnapPut returns.
func TestSnapPutReturnsACopy(t *testing.T) {
	kv := open(t, &snapshotStore{tree: tree.New()}, nil)
	given := &kvdb.KVPair{Key: "key", Value: []byte("value")}
	pair, err := kv.SnapPut(given)
	require.NoError(t, err)
	pair.Value[0] = 'X'
	require.Equal(t, "value", string(given.Value))
	require.NoError(t, kv.Close())
}

// A snapshot has the pairs of the store, with their remaining TTLs.
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

// snapshotOf returns a fake whose snapshot has these pairs.
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

// changing is a snapshotStore that is written to after each List.
type changing struct{ *snapshotStore }

func (c changing) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	page, err := c.snapshotStore.List(ctx, prefix, o)
	c.index++
	c.tree.Set(fmt.Sprint("domain/", c.index), &tree.Record{})
	return page, err
}

// All pages of an enumeration show the same state, even if the store changes between the
// first page and the copy for the others.
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
