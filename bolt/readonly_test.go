package bolt

import (
	"context"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
)

func newReadOnly(path string) (kvdb.Kvdb, error) {
	return kvdb.New(Name, "", nil, map[string]string{Path: path, ReadOnly: "true"}, nil)
}

// sameFileAfter fails the test if f changes the file at path.
func sameFileAfter(t testing.TB, path string, f func()) {
	t.Helper()
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	infoBefore, err := os.Stat(path)
	require.NoError(t, err)
	f()
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	infoAfter, err := os.Stat(path)
	require.NoError(t, err)
	require.True(t, string(before) == string(after), "the bytes of the file have changed")
	require.Equal(t, infoBefore.ModTime(), infoAfter.ModTime())
}

// A file that is open read-only is read, and every write and lock is ErrReadOnly.
func TestReadOnly(t *testing.T) {
	path := tempFile(t)
	kv := openAt(t, path)
	for _, key := range []string{"a", "dir/b", "dir/_c"} {
		_, err := kv.Put(key, "value of "+key, 0)
		require.NoError(t, err)
	}
	_, err := kv.Put("expired", "x", 1)
	require.NoError(t, err)
	_, err = kv.Put("expires", "x", 1000)
	require.NoError(t, err)
	closeKvdb(t, kv)
	require.NoError(t, os.Chmod(path, 0o400))
	require.Eventually(t, func() bool { // the pair expires while no process has the file open
		kv, err := newReadOnly(path)
		require.NoError(t, err)
		defer closeKvdb(t, kv)
		_, err = kv.Get("expired")
		return err == kvdb.ErrNotFound
	}, 10*time.Second, 50*time.Millisecond)
	sameFileAfter(t, path, func() {
		kv, err := newReadOnly(path)
		require.NoError(t, err)
		checkReads(t, kv)
		checkNoWrites(t, kv)
		require.NoError(t, kvdb.Ping(t.Context(), kv))
		closeKvdb(t, kv)
	})
}

func checkReads(t *testing.T, kv kvdb.Kvdb) {
	pair, err := kv.Get("a")
	require.NoError(t, err)
	require.Equal(t, "value of a", string(pair.Value))
	keys, err := kv.Keys("", "")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "dir", "expires"}, keys)
	left, has, err := kvdb.TTLOf(kv, "expires")
	require.NoError(t, err)
	require.True(t, has)
	require.Greater(t, left, 500*time.Second)
	snapshot, index, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	require.Equal(t, pair.KVDBIndex, index)
	_, err = snapshot.Get("dir/_c")
	require.NoError(t, err)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	_, err = tx.Get("a")
	require.NoError(t, err)
	require.NoError(t, tx.Abort())
	locked, _, err := kv.IsKeyLocked("lock")
	require.NoError(t, err)
	require.False(t, locked)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = kvdb.Events(ctx, kv, "", pair.KVDBIndex)
	require.NoError(t, err)
	cancel()
}

func checkNoWrites(t *testing.T, kv kvdb.Kvdb) {
	for name, call := range map[string]func() error{
		"put":        func() error { _, err := kv.Put("a", "x", 0); return err },
		"put TTL":    func() error { _, err := kv.Put("n", "x", 10); return err },
		"create":     func() error { _, err := kv.Create("n", "x", 0); return err },
		"update":     func() error { _, err := kv.Update("a", "x", 0); return err },
		"delete":     func() error { _, err := kv.Delete("a"); return err },
		"tree":       func() error { return kv.DeleteTree("dir") },
		"all":        func() error { return kv.DeleteTree("") },
		"compact":    func() error { return kv.Compact(1) },
		"defragment": func() error { return kv.Defragment("", 0) },
		"lock":       func() error { _, err := kv.Lock("lock"); return err },
		"cas": func() error {
			_, err := kv.CompareAndSet(&kvdb.KVPair{Key: "a", Value: []byte("x")}, kvdb.KVPrevExists, nil)
			return err
		},
		"cad": func() error {
			_, err := kv.CompareAndDelete(&kvdb.KVPair{Key: "a", Value: []byte("value of a")}, 0)
			return err
		},
		"commit": func() error {
			tx, err := kv.TxNew()
			require.NoError(t, err)
			_, err = tx.Put("a", "x", 0)
			require.NoError(t, err)
			return tx.Commit()
		},
		"many": func() error {
			_, err := kvdb.PutMany(t.Context(), kv, func(yield func(*kvdb.KVPair, error) bool) { yield(&kvdb.KVPair{Key: "n"}, nil) }, kvdb.ManyOptions{})
			return err
		},
	} {
		err := call()
		require.ErrorIs(t, err, ErrReadOnly, name)
		require.ErrorIs(t, err, kvdb.ErrNotSupported, name)
	}
}

// What cannot be read without a change is refused, and stays as it is.
func TestReadOnlyRefusesFiles(t *testing.T) {
	path := tempFile(t)
	_, err := newReadOnly(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoFileExists(t, path)
	_, err = kvdb.New(Name, "", nil, map[string]string{Path: path, ReadOnly: "perhaps"}, nil)
	require.ErrorContains(t, err, `option ReadOnly: "perhaps" is not a boolean`)
	require.NoFileExists(t, path)
	_, err = newReadOnly(t.TempDir())
	require.ErrorContains(t, err, "not a regular file")

	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = newReadOnly(path)
	require.ErrorContains(t, err, "is empty")
	for message, prepare := range map[string]func(path string){
		"never been opened to write": func(path string) {
			raw, err := bbolt.Open(path, fileMode, nil)
			require.NoError(t, err)
			require.NoError(t, raw.Close())
		},
		"format of an earlier release": func(path string) { writeLegacy(t, path, legacyPairs(10)) },
	} {
		path := tempFile(t)
		prepare(path)
		sameFileAfter(t, path, func() {
			_, err := newReadOnly(path)
			require.ErrorIs(t, err, kvdb.ErrNotSupported)
			require.ErrorContains(t, err, message)
		})
		closeKvdb(t, openAt(t, path))
		kv, err := newReadOnly(path)
		require.NoError(t, err)
		closeKvdb(t, kv)
	}
}

// An instance that is read-only shares the file with those of its process that write, and
// sees what they write. One that writes cannot join a file that is read-only.
func TestReadOnlyInOneProcess(t *testing.T) {
	path := tempFile(t)
	writer := openAt(t, path)
	reader, err := newReadOnly(path)
	require.NoError(t, err)
	_, err = writer.Put("a", "x", 0)
	require.NoError(t, err)
	_, err = reader.Get("a")
	require.NoError(t, err)
	_, err = reader.Put("a", "y", 0)
	require.ErrorIs(t, err, ErrReadOnly)
	closeKvdb(t, writer)
	closeKvdb(t, reader)

	first, err := newReadOnly(path)
	require.NoError(t, err)
	second, err := newReadOnly(path)
	require.NoError(t, err)
	_, err = newKvdb(path)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.ErrorContains(t, err, "read-only in this process")
	closeKvdb(t, first)
	closeKvdb(t, second)
	closeKvdb(t, openAt(t, path))
}

// Several processes read a file. One that writes is waited for, and waits, for 3 s.
func TestReadOnlyBesideProcesses(t *testing.T) {
	path := tempFile(t)
	writer := startChild(t, "hold", path)
	require.Equal(t, "open", writer.line())
	began := time.Now()
	_, err := newReadOnly(path)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.ErrorContains(t, err, "another process")
	require.GreaterOrEqual(t, time.Since(began), openTimeout*9/10) // bbolt may give up a little earlier
	_, err = Check(path)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.NoError(t, writer.stdin.Close())
	writer.wait()

	reader := startChild(t, "hold read-only", path)
	require.Equal(t, "open", reader.line())
	kv, err := newReadOnly(path)
	require.NoError(t, err, "both read")
	closeKvdb(t, kv)
	problems, err := Check(path)
	require.NoError(t, err)
	require.Empty(t, problems)
	_, err = newKvdb(path)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.NoError(t, reader.stdin.Close())
	reader.wait()
	closeKvdb(t, openAt(t, path))
}
