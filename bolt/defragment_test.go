package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
)

// fragmented returns an instance on a file that is mostly free pages.
func fragmented(t *testing.T, path string) kvdb.Kvdb {
	t.Helper()
	kv := openAt(t, path)
	for i := range 8 {
		_, err := kv.Put(fmt.Sprintf("large/%d", i), make([]byte, 1<<20), 0)
		require.NoError(t, err)
	}
	require.NoError(t, kv.DeleteTree("large"))
	for i := range 40 {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for j := range 100 {
			_, err = tx.Put(fmt.Sprintf("small/%d/%d", i, j), fmt.Sprint(i), uint64(j%2*1000))
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
	}
	return kv
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

func TestDefragment(t *testing.T) {
	path := tempFile(t)
	kv := fragmented(t, path)
	before, largest := contents(t, kv), size(t, path)
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	events := make(chan uint64, 1)
	require.NoError(t, kv.WatchKey("new", lock.ModifiedIndex, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil {
			events <- pair.ModifiedIndex
		}
		return err
	}))
	require.NoError(t, os.Chmod(path, 0o640))

	require.NoError(t, kv.Defragment(kv.GetEndpoints()[0], 60))

	require.Less(t, size(t, path), largest/4)
	require.Equal(t, before, contents(t, kv))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), info.Mode().Perm())
	held, _, err := kv.IsKeyLocked("lock")
	require.NoError(t, err)
	require.True(t, held)
	put, err := kv.Put("new", "value", 0)
	require.NoError(t, err)
	require.Equal(t, lock.ModifiedIndex+1, put.ModifiedIndex)
	require.Equal(t, put.ModifiedIndex, <-events)
	require.NoError(t, kv.Defragment("", 0))
	require.NoError(t, kv.Unlock(lock))
	closeKvdb(t, kv)
	before["new"] = "value"
	require.Equal(t, before, contents(t, openAt(t, path)))
}

// The copy is made without syncs; later writes to it are synced.
func TestSyncsAfterDefragment(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	s := newStore(db)
	put(t, s, "key", "value", 0)
	require.NoError(t, s.Defragment(t.Context(), "", 0))
	file := db.file.Load()
	require.False(t, file.NoSync)
	require.False(t, file.NoGrowSync)
}

// While the file is defragmented, readers see all earlier writes, and writers wait.
func TestDefragmentWhileInUse(t *testing.T) {
	path := tempFile(t)
	kv := fragmented(t, path)
	var stop atomic.Bool
	var users sync.WaitGroup
	for i := range 2 {
		users.Go(func() {
			for n := 0; !stop.Load(); n++ {
				key := fmt.Sprintf("new/%d/%d", i, n%100)
				put, err := kv.Put(key, fmt.Sprint(n), 0)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := kv.Get(key); err != nil || got.ModifiedIndex != put.ModifiedIndex || got.KVDBIndex < put.ModifiedIndex {
					t.Errorf("%v %v after %v", got, err, put)
					return
				}
			}
		})
		users.Go(func() {
			for !stop.Load() {
				if pairs, err := kv.Enumerate("small/3"); err != nil || len(pairs) != 1100 {
					t.Error(len(pairs), err)
					return
				}
			}
		})
	}
	users.Go(func() { // another process cannot open the file meanwhile
		for !stop.Load() {
			if taken, err := canTake(path); taken || err != nil {
				t.Error("the file was not locked at some time:", err)
				return
			}
		}
	})
	for range 4 {
		require.NoError(t, kv.Defragment("", 60))
	}
	stop.Store(true)
	users.Wait()
}

// canTake reports whether another process could have opened the file.
func canTake(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return false, nil
	}
	locked, err := file.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(locked, now), err
}

// Reads that began before a Defragment continue on the old file, and Defragment waits for
// them.
func TestDefragmentWaitsForReaders(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	s := newStore(db)
	put(t, s, "key", "old", 0)
	_, long, err := db.mark(context.Background())
	require.NoError(t, err)
	short, err := db.beginRead()
	require.NoError(t, err)
	old := db.file.Load()
	done := make(chan error)
	go func() { done <- s.Defragment(t.Context(), "", 0) }()
	for old.readers.TryRLock() {
		old.readers.RUnlock()
		runtime.Gosched() // until Defragment waits for the readers of the old file
	}
	within(t, time.Minute, short.end)
	_, err = s.Get(context.Background(), "key")
	require.NoError(t, err, "new readers do not wait")
	select {
	case err := <-done:
		require.FailNow(t, "the file is closed under a reader", "%v", err)
	default:
	}
	require.Equal(t, "old", string(long.Bucket(pairsBucket).Get([]byte("key"))[headerSize:]))
	long.end()
	require.NoError(t, <-done)
	put(t, s, "key", "new", 0)
}

func TestDefragmentFails(t *testing.T) {
	path := tempFile(t)
	kv := fragmented(t, path)
	before, used := contents(t, kv), size(t, path)
	db := openDatabase(t, path)
	check := func() {
		t.Helper()
		require.Equal(t, before, contents(t, kv))
		require.Equal(t, used, size(t, path))
		_, err := kv.Put("key", "value", 0)
		require.NoError(t, err)
		before["key"] = "value"
	}

	// Defragment takes too long.
	reason := errors.New("reason")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(reason)
	<-db.writeLock
	err := db.defragment(ctx)
	db.writeLock <- struct{}{}
	require.ErrorIs(t, err, reason)
	_, err = os.Stat(path + compactSuffix)
	require.ErrorIs(t, err, fs.ErrNotExist)
	check()

	// The write lock is not released in time.
	<-db.writeLock
	err = kv.Defragment("", 1)
	db.writeLock <- struct{}{}
	require.ErrorIs(t, err, context.DeadlineExceeded)
	check()

	// The new file cannot be created.
	require.NoError(t, os.MkdirAll(filepath.Join(path+compactSuffix, "sub"), 0o700))
	require.ErrorContains(t, kv.Defragment("", 0), path)
	check()
	require.NoError(t, os.RemoveAll(path+compactSuffix))

	require.ErrorIs(t, kv.Defragment("/other", 0), kvdb.ErrIllegal)
	require.ErrorIs(t, kv.Defragment("", -1), kvdb.ErrIllegal)
	check()
	require.NoError(t, kv.Defragment("", 60))
}

// Buckets of other programs in the file are kept.
func TestDefragmentKeepsOtherBuckets(t *testing.T) {
	path := tempFile(t)
	updateRaw(t, path, func(tx *bbolt.Tx) error {
		other, err := tx.CreateBucket([]byte("other"))
		if err != nil {
			return err
		}
		if err := other.SetSequence(7); err != nil {
			return err
		}
		for i := range 100 {
			nested, err := other.CreateBucketIfNotExists([]byte(fmt.Sprintf("nested%d", i%5)))
			if err == nil {
				err = nested.Put([]byte(fmt.Sprint(i)), make([]byte, copyBytes/10))
			}
			if err == nil {
				err = other.Put([]byte(fmt.Sprintf("key%d", i)), []byte{})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	kv := openAt(t, path)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	require.NoError(t, kv.Defragment("", 0))
	closeKvdb(t, kv)
	raw := openRaw(t, path)
	require.NoError(t, raw.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		other := tx.Bucket([]byte("other"))
		require.Equal(t, uint64(7), other.Sequence())
		n := 0
		require.NoError(t, other.ForEach(func(key, value []byte) error {
			if value == nil {
				n += other.Bucket(key).Stats().KeyN
			} else {
				require.Empty(t, value)
				n++
			}
			return nil
		}))
		require.Equal(t, 200, n)
		return nil
	}))
	require.NoError(t, raw.Close())
}

func TestLeftoverOfDefragmentIsRemoved(t *testing.T) {
	path := tempFile(t)
	closeKvdb(t, openAt(t, path))
	require.NoError(t, os.WriteFile(path+compactSuffix, []byte("half a file"), 0o600))
	openAt(t, path)
	_, err := os.Stat(path + compactSuffix)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// Defragment follows a symbolic link to the file, and keeps the link.
func TestDefragmentBehindALink(t *testing.T) {
	path := tempFile(t)
	link := path + ".link"
	require.NoError(t, os.Symlink(path, link))
	kv := openAt(t, link)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	require.NoError(t, kv.Defragment(link, 0))
	target, err := os.Readlink(link)
	require.NoError(t, err)
	require.Equal(t, path, target)
	require.Equal(t, map[string]string{"key": "value"}, contents(t, openAt(t, path)))
}

// A file that replaced the open one is not overwritten.
func TestDefragmentOfAMovedFile(t *testing.T) {
	path := tempFile(t)
	moved := openAt(t, path)
	require.NoError(t, os.Rename(path, path+".moved"))
	kv := openAt(t, path)
	_, err := kv.Put("key", "value", 0)
	require.NoError(t, err)
	require.ErrorContains(t, moved.Defragment("", 0), "not the file that is open")
	closeKvdb(t, kv)
	require.Equal(t, map[string]string{"key": "value"}, contents(t, openAt(t, path)))
}

func TestControllerWithoutCluster(t *testing.T) {
	kv := openAt(t, tempFile(t))
	_, err := kv.AddMember("", "", "")
	require.Equal(t, kvdb.ErrNotSupported, err)
	_, err = kv.ListMembers()
	require.Equal(t, kvdb.ErrNotSupported, err)
	require.Equal(t, kvdb.ErrNotSupported, kv.SetEndpoints(nil))
}

// Close ends Defragment.
func TestCloseWhileDefragmenting(t *testing.T) {
	for range 2 {
		path := tempFile(t)
		kv := fragmented(t, path)
		done := make(chan error)
		go func() { done <- kv.Defragment("", 0) }()
		within(t, time.Minute, func() {
			closeKvdb(t, kv)
			if err := <-done; err != nil {
				require.ErrorIs(t, err, kvdb.ErrClosed)
			}
			closeKvdb(t, openAt(t, path))
		})
	}
}
