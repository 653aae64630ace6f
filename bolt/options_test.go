package bolt

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

func TestRegistered(t *testing.T) {
	require.Equal(t, "bolt-kv", Name)
	kv := openAt(t, tempFile(t))
	require.Equal(t, Name, kv.String())
	require.Equal(t, kvdb.KVCapabilityOrderedUpdates, kv.Capabilities())
	version, err := kvdb.Version(Name, "", nil)
	require.NoError(t, err)
	require.Equal(t, kvdb.BoltVersion1, version)
	require.Equal(t, driver.ErrSnap, ErrSnap)
	require.Equal(t, driver.ErrSnapWithInterfaceNotSupported, ErrSnapWithInterfaceNotSupported)
	require.Equal(t, driver.ErrIllegalSelect, ErrIllegalSelect)
}

func TestBadOptions(t *testing.T) {
	path := tempFile(t)
	for _, options := range []map[string]string{
		{Path: ""}, {KvSnap: ""}, {Path: path, KvSnap: path + "2"},
		{Path: path, KvHistory: "many"}, {Path: path, KvHistory: "0"},
		{Path: path, kvdb.ReadConsistency: "eventual"},
	} {
		_, err := kvdb.New(Name, "", nil, options, nil)
		require.Error(t, err)
		named := false
		for name := range options {
			named = named || strings.Contains(err.Error(), name)
		}
		require.True(t, named, "%v does not name one of %v", err, options)
	}
	_, err := kvdb.New(Name, "", nil, map[string]string{KvSnap: path, KvUseInterface: ""}, nil)
	require.Equal(t, ErrSnapWithInterfaceNotSupported, err)
	_, err = os.Stat(path)
	require.ErrorIs(t, err, fs.ErrNotExist, "New creates no file for bad options")
}

func TestKvSnapNamesTheFile(t *testing.T) {
	path := tempFile(t)
	for _, options := range []map[string]string{
		{KvSnap: path}, {Path: path}, {KvSnap: path, Path: path}, {KvSnap: path, KvUseInterface: "false"},
		{Path: path, KvUseInterface: ""},
	} {
		kv, err := kvdb.New(Name, "", nil, options, nil)
		require.NoError(t, err)
		require.Equal(t, []string{path}, kv.GetEndpoints())
		closeKvdb(t, kv)
	}
}

func TestUseInterfaceKeepsBytes(t *testing.T) {
	kv, err := kvdb.New(Name, "", nil, map[string]string{Path: tempFile(t), KvUseInterface: ""}, nil)
	require.NoError(t, err)
	defer closeKvdb(t, kv)
	_, err = kv.Put("key", struct{ A int }{1}, 0)
	require.NoError(t, err)
	value, err := kv.GetWithCopy("key", func(v interface{}) interface{} { return v })
	require.NoError(t, err)
	require.Equal(t, []byte(`{"A":1}`), value)
}

func TestDefaultPathAndMode(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	kv, err := New("", nil, nil, nil)
	require.NoError(t, err)
	defer closeKvdb(t, kv)
	_, err = kv.Put("key", "value", 0)
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(dir, "px.db"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
}

func TestNoFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "px.db")
	_, err := newKvdb(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, path)
}

func TestNoFile(t *testing.T) {
	folder := t.TempDir()
	_, err := newKvdb(folder)
	require.ErrorContains(t, err, folder+": it is not a regular file")
	require.NotErrorIs(t, err, ErrCorrupt)
}
