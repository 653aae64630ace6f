package transfer_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/digest"
	"github.com/portworx/kvdb/transfer"
)

// differences returns what Compare yields, as text.
func differences(t *testing.T, old, new kvdb.Kvdb, o transfer.CompareOptions) []string {
	t.Helper()
	found := []string{}
	for d, err := range transfer.Compare(t.Context(), old, new, o) {
		require.NoError(t, err)
		text := d.Key() + ":"
		for _, pair := range []*kvdb.KVPair{d.Old, d.New} {
			if pair == nil {
				text += " none"
				continue
			}
			require.Equal(t, d.Key(), pair.Key)
			text += " " + string(pair.Value)
		}
		found = append(found, text)
	}
	return found
}

// Compare finds values, keys of one side and hidden keys, in order, and no indexes. Digests
// are equal when there is no difference.
func TestCompare(t *testing.T) {
	old, new := openMem(t), openBolt(t)
	put(t, new, "index", "of its own", 0)
	put(t, new, "index", "of its own", 0)
	put(t, old, "index", "of its own", 0)
	require.Empty(t, differences(t, old, new, transfer.CompareOptions{}))
	put(t, old, "a/_hidden", "1", 0)
	put(t, new, "a/_hidden", "2", 0)
	put(t, old, "b", "old", 0)
	put(t, new, "c", "new", 0)
	put(t, old, "z", "", 0)
	all := []string{"a/_hidden: 1 2", "b: old none", "c: none new", "z:  none"}
	require.Equal(t, all, differences(t, old, new, transfer.CompareOptions{}))
	require.Equal(t, all[:1], differences(t, old, new, transfer.CompareOptions{Prefix: "a"}))
	require.Equal(t, []string{"b:  none", "c: none ", "z:  none"}, differences(t, old, new, transfer.CompareOptions{KeysOnly: true}))
	require.Equal(t, []string{"a/_hidden: 2 1", "b: none old", "c: new none", "z: none "}, differences(t, new, old, transfer.CompareOptions{}))
	require.NotEqual(t, sum(t, old, "").Digest, sum(t, new, "").Digest)
	require.Equal(t, sum(t, old, "i"), sum(t, new, "i"))
	for _, err := range transfer.Compare(t.Context(), old, new, transfer.CompareOptions{}) {
		require.NoError(t, err)
		break
	}
}

// Whether a pair expires is a difference only if the caller asks for it.
func TestCompareTTL(t *testing.T) {
	old, new := openMem(t), openBolt(t)
	put(t, old, "both", "x", 100)
	put(t, new, "both", "x", 200)
	put(t, old, "old", "x", 100)
	put(t, new, "old", "x", 0)
	require.Empty(t, differences(t, old, new, transfer.CompareOptions{}))
	require.Equal(t, []string{"old: x x"}, differences(t, old, new, transfer.CompareOptions{TTL: true}))
	require.Equal(t, sum(t, old, ""), sum(t, new, ""))
}

// Trees of many pages are compared, and the digest has the keys in order, without those of
// Copy.
func TestComparePages(t *testing.T) {
	old, new := openMem(t), openBolt(t)
	fill(t, old, "tree", 3500)
	fill(t, new, "tree", 3500)
	for _, key := range []string{"_kvdb-transfer", "tree/_kvdb-transfer-x"} {
		put(t, new, key, "x", 0)
	}
	require.Empty(t, differences(t, old, new, transfer.CompareOptions{}))
	h := digest.New()
	for pair, err := range kvdb.Pairs(old, "") {
		require.NoError(t, err)
		h.Add(pair.Key, pair.Value)
	}
	got := sum(t, new, "")
	require.Equal(t, transfer.Sum{Digest: h.Sum(), Pairs: 3500, Bytes: h.Bytes()}, got)
	require.Equal(t, sum(t, old, ""), got)
	_, err := new.Delete("tree/002345")
	require.NoError(t, err)
	require.Equal(t, []string{"tree/002345: value 2345 none"}, differences(t, old, new, transfer.CompareOptions{}))
}

// The error of a side, and that of the context, ends a comparison and a digest.
func TestCompareFails(t *testing.T) {
	old, new := openMem(t), openMem(t)
	put(t, old, "a", "x", 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := transfer.Digest(ctx, old, "")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, kvdb.Close(new))
	for _, sides := range [][2]kvdb.Kvdb{{old, new}, {new, old}} {
		var last error
		for _, last = range transfer.Compare(t.Context(), sides[0], sides[1], transfer.CompareOptions{}) {
		}
		require.Equal(t, kvdb.ErrClosed, last)
	}
}

func sum(t *testing.T, kv kvdb.Kvdb, prefix string) transfer.Sum {
	t.Helper()
	s, err := transfer.Digest(t.Context(), kv, prefix)
	require.NoError(t, err)
	return s
}
