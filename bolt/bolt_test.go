package bolt

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openAt opens the file at path.
func openAt(t testing.TB, path string) kvdb.Kvdb {
	t.Helper()
	kv, err := kvdb.New(Name, "domain", nil, map[string]string{Path: path}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// tempFile returns the path of a file that is not there.
func tempFile(t testing.TB) string { return filepath.Join(t.TempDir(), "test.db") }

func TestPutGet(t *testing.T) {
	path := tempFile(t)
	kv := openAt(t, path)
	p, err := kv.Put("a/b", "value", 0)
	require.NoError(t, err)
	require.Equal(t, uint64(1), p.ModifiedIndex)
	_, err = kv.Put("a/c/d", "value2", 0)
	require.NoError(t, err)
	g, err := kv.Get("a/b")
	require.NoError(t, err)
	require.Equal(t, "value", string(g.Value))
	require.Equal(t, uint64(2), g.KVDBIndex)
	keys, err := kv.Keys("a", "")
	require.NoError(t, err)
	require.Equal(t, []string{"b", "c"}, keys)
	_, err = kv.Create("a/b", "x", 0)
	require.Equal(t, kvdb.ErrExist, err)
	snap, index, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	require.Equal(t, uint64(3), index)
	pairs, err := snap.Enumerate("")
	require.NoError(t, err)
	require.Len(t, pairs, 2)
	require.NoError(t, kv.Defragment("", 10))
	lock, err := kv.Lock("a/b")
	require.NoError(t, err)
	require.NoError(t, kv.Unlock(lock))
	require.NoError(t, kv.DeleteTree("a"))
	require.NoError(t, kvdb.Close(kv))
	kv = openAt(t, path)
	_, err = kv.Get("a/b")
	require.True(t, errors.Is(err, kvdb.ErrNotFound))
	p, err = kv.Put("a/b", "value", 0)
	require.NoError(t, err)
	require.Equal(t, uint64(7), p.ModifiedIndex)
}
