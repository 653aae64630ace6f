package bolt

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/portworx/kvdb"
)

// holdFile keeps the file that its argument names open until its input ends.
func holdFile(open func(path string) (kvdb.Kvdb, error)) {
	kv, err := open(os.Args[1])
	must(err)
	fmt.Println("open")
	_, err = io.Copy(io.Discard, os.Stdin)
	must(err)
	must(kvdb.Close(kv))
}

func TestFileOfAnotherProcess(t *testing.T) {
	path := tempFile(t)
	holder := startChild(t, "hold", path)
	require.Equal(t, "open", holder.line())
	began := time.Now()
	_, err := newKvdb(path)
	require.ErrorIs(t, err, kvdb.ErrNoConnection)
	require.ErrorContains(t, err, "another process")
	require.ErrorContains(t, err, path)
	require.Less(t, time.Since(began), 5*openTimeout)
	require.NoError(t, holder.stdin.Close())
	holder.wait()
	openAt(t, path)
}

// New waits for a process that is about to close the file.
func TestFileIsFreedWhileWaiting(t *testing.T) {
	path := tempFile(t)
	holder := startChild(t, "hold", path)
	require.Equal(t, "open", holder.line())
	opened := make(chan error)
	go func() {
		kv, err := newKvdb(path)
		if err == nil {
			err = kvdb.Close(kv)
		}
		opened <- err
	}()
	require.NoError(t, holder.stdin.Close())
	holder.wait()
	require.NoError(t, <-opened)
}

// Different paths of one file open the same database.
func TestInstancesShareAFile(t *testing.T) {
	dir := t.TempDir()
	folder, path := filepath.Join(dir, "folder"), filepath.Join(dir, "folder", "px.db")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.Symlink(folder, filepath.Join(dir, "otherfolder")))
	require.NoError(t, os.Symlink(path, filepath.Join(dir, "otherfile"))) // the target does not exist yet
	t.Chdir(folder)
	first, err := newKvdb(filepath.Join(dir, "otherfile"))
	require.NoError(t, err)
	names := []string{
		path, "px.db", "../folder/px.db", filepath.Join(dir, "otherfile"),
		filepath.Join(dir, "otherfolder", "px.db"), folder + "//./px.db",
	}
	for i, name := range names {
		kv, err := newKvdb(name)
		require.NoError(t, err, name)
		events := make(chan *kvdb.KVPair, 1)
		key := fmt.Sprintf("key%d", i)
		require.NoError(t, kv.WatchKey(key, 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
			if err == nil {
				events <- pair
			}
			return err
		}))
		put, err := first.Put(key, "value", 0)
		require.NoError(t, err)
		require.Equal(t, put.ModifiedIndex, (<-events).ModifiedIndex)
		got, err := kv.Get(key)
		require.NoError(t, err)
		require.Equal(t, put.ModifiedIndex, got.KVDBIndex)

		lock, err := first.Lock("lock")
		require.NoError(t, err)
		_, err = kv.LockWithTimeout("lock", "other", 0, 0)
		require.ErrorIs(t, err, kvdb.ErrExist)
		require.NoError(t, first.Unlock(lock))
		lock, err = kv.Lock("lock")
		require.NoError(t, err)
		require.Greater(t, lock.ModifiedIndex, put.ModifiedIndex)
		closeKvdb(t, kv) // which releases its lock, but keeps the file open
		held, _, err := first.IsKeyLocked("lock")
		require.NoError(t, err)
		require.False(t, held)
		_, err = first.Put(key, "again", 0)
		require.NoError(t, err)
	}
	_, err = bbolt.Open(path, fileMode, &bbolt.Options{Timeout: time.Millisecond})
	require.ErrorIs(t, err, berrors.ErrTimeout)
	closeKvdb(t, first)
	raw, err := bbolt.Open(path, fileMode, &bbolt.Options{Timeout: time.Millisecond})
	require.NoError(t, err, "the last Close closes the file")
	require.NoError(t, raw.Close())
}

// A write to a file that is no longer at its path fails. It succeeds when the file is back.
func TestFileGoneWhileOpen(t *testing.T) {
	for name, gone := range map[string]func(path string) error{
		"deleted": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".moved") },
		"replaced": func(path string) error {
			if err := os.Rename(path, path+".moved"); err != nil {
				return err
			}
			return os.WriteFile(path, []byte("another"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := tempFile(t)
			kv := openAt(t, path)
			_, err := kv.Put("key", "value", 0)
			require.NoError(t, err)
			lock, err := kv.Lock("lock")
			require.NoError(t, err)
			require.NoError(t, gone(path))
			for call, f := range map[string]func() error{
				"Put":        func() error { _, err := kv.Put("key", "new", 0); return err },
				"Create":     func() error { _, err := kv.Create("new", "new", 0); return err },
				"Delete":     func() error { _, err := kv.Delete("key"); return err },
				"DeleteTree": func() error { return kv.DeleteTree("") },
				"Tx": func() error {
					tx, err := kv.TxNew()
					if err == nil {
						_, err = tx.Put("key", "new", 0)
					}
					if err != nil {
						return err
					}
					return tx.Commit()
				},
				"Lock":       func() error { _, err := kv.Lock("other"); return err },
				"Defragment": func() error { return kv.Defragment("", 0) },
			} {
				err := f()
				require.ErrorIs(t, err, kvdb.ErrNoConnection, call)
				require.NotErrorIs(t, err, kvdb.ErrUnknownOutcome, call)
				require.ErrorContains(t, err, path, call)
				require.ErrorContains(t, err, "deleted, moved or replaced", call)
			}
			pair, err := kv.Get("key")
			require.NoError(t, err)
			require.Equal(t, "value", string(pair.Value))
			require.NoError(t, kv.Unlock(lock))
			if name == "deleted" {
				return
			}
			require.NoError(t, os.Rename(path+".moved", path))
			_, err = kv.Put("key", "new", 0)
			require.NoError(t, err)
		})
	}
}

// Writes succeed if the path cannot be checked, because of missing permission for example.
func TestPathThatCannotBeChecked(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	path := db.path
	<-db.writeLock
	db.path = filepath.Join(path, "below a file")
	_, err := os.Stat(db.path)
	require.Error(t, err)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	db.writeLock <- struct{}{}
	s := newStore(db)
	put(t, s, "key", "value", 0)
	<-db.writeLock
	db.path = path
	db.writeLock <- struct{}{}
}

// A file that was deleted and created again is a different file.
func TestFileCreatedAgain(t *testing.T) {
	path := tempFile(t)
	old := openAt(t, path)
	_, err := old.Put("key", "old", 0)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	kv := openAt(t, path)
	_, err = kv.Get("key")
	require.Equal(t, kvdb.ErrNotFound, err)
	_, err = old.Get("key")
	require.NoError(t, err)
}

func TestManyOpenAtOnce(t *testing.T) {
	path := tempFile(t)
	errs := make(chan error)
	for range 20 {
		go func() {
			for range 20 {
				kv, err := newKvdb(path)
				if err == nil {
					_, err = kv.Put("key", "value", 0)
				}
				if err == nil {
					err = kvdb.Close(kv)
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 20 {
		require.NoError(t, <-errs)
	}
	require.Empty(t, registry.files)
}

func TestIndexGrowsOverRestarts(t *testing.T) {
	path := tempFile(t)
	var last uint64
	for range 5 {
		kv := openAt(t, path)
		pair, err := kv.Put("key", "value", 0)
		require.NoError(t, err)
		require.Greater(t, pair.ModifiedIndex, last)
		if last > 0 {
			require.Equal(t, uint64(1), pair.CreatedIndex)
		}
		lock, err := kv.Lock("key")
		require.NoError(t, err)
		require.Greater(t, lock.ModifiedIndex, pair.ModifiedIndex, "a fencing token is larger than all earlier ones")
		last = lock.ModifiedIndex
		if last%2 == 0 {
			_, last, err = kv.Snapshot(nil, true)
			require.NoError(t, err)
		}
		closeKvdb(t, kv)
	}
}

func TestWatchFromBeforeTheRestart(t *testing.T) {
	path := tempFile(t)
	kv := openAt(t, path)
	for range 3 {
		_, err := kv.Put("key", "value", 0)
		require.NoError(t, err)
	}
	closeKvdb(t, kv)
	kv = openAt(t, path)
	put, err := kv.Put("key", "new", 0)
	require.NoError(t, err)
	watch := func(index uint64) (*kvdb.KVPair, error) {
		type event struct {
			pair *kvdb.KVPair
			err  error
		}
		events := make(chan event, 2)
		require.NoError(t, kv.WatchKey("key", index, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
			events <- event{pair, err}
			return kvdb.ErrWatchStopped
		}))
		e := <-events
		return e.pair, e.err
	}
	_, err = watch(1)
	require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
	for _, index := range []uint64{0, 3} { // from the history of this process; from the last index before it
		pair, err := watch(index)
		require.NoError(t, err)
		require.Equal(t, put.ModifiedIndex, pair.ModifiedIndex)
		require.Equal(t, kvdb.KVSet, pair.Action)
	}
}

func TestNewerFormat(t *testing.T) {
	path := tempFile(t)
	closeKvdb(t, openAt(t, path))
	updateRaw(t, path, func(tx *bbolt.Tx) error {
		pairs := tx.Bucket(pairsBucket)
		if err := pairs.Put([]byte("key"), []byte("\x02record of the future")); err != nil {
			return err
		}
		return tx.Bucket(metaBucket).Put(formatKey, binary.BigEndian.AppendUint32(nil, formatVersion+1))
	})
	_, err := newKvdb(path)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "format 2")
	require.NotErrorIs(t, err, ErrCorrupt)
}

func TestClosed(t *testing.T) {
	kv := openAt(t, tempFile(t))
	_, err := kv.Put("key", "value", 100)
	require.NoError(t, err)
	closeKvdb(t, kv)
	_, err = kv.Get("key")
	require.Equal(t, kvdb.ErrClosed, err)
	_, err = kv.Put("key", "value", 0)
	require.Equal(t, kvdb.ErrClosed, err)
	closeKvdb(t, kv)
}

func TestSmallFile(t *testing.T) {
	path := tempFile(t)
	kv := openAt(t, path)
	for i := range 100 {
		_, err := kv.Put(fmt.Sprint(i), "value", 0)
		require.NoError(t, err)
	}
	require.Less(t, size(t, path), int64(300_000))
}

// If the address space for mapSize is not available, the file is opened with a smaller
// mapping.
func TestAddressSpace(t *testing.T) {
	path := tempFile(t)
	file, err := openFile(path, bbolt.Options{InitialMmapSize: 127 << 40})
	require.NoError(t, err)
	require.NoError(t, file.Close())
	closeKvdb(t, openAt(t, path))
}
