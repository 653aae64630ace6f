package engine

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
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

func (s *snapshotting) Snapshot(_ context.Context, prefixes []string, _ bool) (*tree.Tree, uint64, error) {
	s.prefixes = prefixes
	return tree.New(), 0, nil
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
