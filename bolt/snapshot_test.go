package bolt

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// A snapshot and a watch from its index together show every concurrent write.
func TestSnapshotAndWatch(t *testing.T) {
	kv := openAt(t, tempFile(t))
	var stop atomic.Bool
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for n := 0; !stop.Load(); n++ {
				key := fmt.Sprintf("w%d/key%d", i, n%50)
				var err error
				if n%7 == 0 {
					err = kv.DeleteTree(fmt.Sprintf("w%d", i))
				} else {
					_, err = kv.Put(key, fmt.Sprint(n), 0)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	type taken struct {
		values map[string]string
		index  uint64
	}
	var snapshots []taken
	for range 20 {
		snapshot, index, err := kv.Snapshot(nil, true)
		require.NoError(t, err)
		pairs, err := snapshot.Enumerate("")
		require.NoError(t, err)
		for _, pair := range pairs {
			require.Less(t, pair.ModifiedIndex, index)
		}
		snapshots = append(snapshots, taken{contents(t, snapshot), index})
	}
	stop.Store(true)
	writers.Wait()
	last, err := kv.Put("last", "value", 0)
	require.NoError(t, err)
	final := contents(t, kv)
	for _, s := range snapshots {
		done := make(chan struct{})
		require.NoError(t, kv.WatchTree("", s.index, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
			if err != nil {
				close(done)
				return err
			}
			if pair.Action == kvdb.KVDelete {
				delete(s.values, pair.Key)
			} else {
				s.values[pair.Key] = string(pair.Value)
			}
			if pair.ModifiedIndex == last.ModifiedIndex {
				return kvdb.ErrWatchStopped
			}
			return nil
		}))
		<-done
		require.Equal(t, final, s.values)
	}
}

// Writers do not wait while a snapshot is copied, even if the file must grow.
func TestSnapshotDoesNotBlockWriters(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	s := newStore(db)
	put(t, s, "key", "old", 0)
	_, marked, err := db.mark(context.Background())
	require.NoError(t, err)
	within(t, time.Minute, func() {
		for i := range 40 {
			put(t, s, fmt.Sprint(i), string(make([]byte, 1<<20)), 0)
		}
		put(t, s, "key", "new", 0)
	})
	encoded := marked.Bucket(pairsBucket).Get([]byte("key"))
	require.Equal(t, "old", string(encoded[headerSize:]))
	require.Equal(t, 1, marked.Bucket(pairsBucket).Stats().KeyN)
	marked.end()
}

func TestSnapshotOfPrefixes(t *testing.T) {
	s := newStore(openDatabase(t, tempFile(t)))
	for _, key := range []string{"a", "ab", "b/c", "bc", "c"} {
		put(t, s, key, key, 0)
	}
	copied, index, err := s.Snapshot(context.Background(), []string{"ab", "b/"}, true)
	require.NoError(t, err)
	require.Equal(t, uint64(6), index)
	require.Len(t, copied, 2)
	require.Equal(t, "ab", string(copied[0].Value))
	require.Equal(t, uint64(3), copied[1].ModifiedIndex)
	require.Equal(t, uint64(7), put(t, s, "d", "d", 0).Modified, "no write has the index of the snapshot")
	_, index, err = s.Snapshot(context.Background(), []string{""}, false)
	require.NoError(t, err)
	require.Zero(t, index)
}

// The index of a snapshot is not used again, even after a restart.
func TestSnapshotIndexIsDurable(t *testing.T) {
	path := tempFile(t)
	kv := openAt(t, path)
	_, index, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	closeKvdb(t, kv)
	pair, err := openAt(t, path).Put("key", "value", 0)
	require.NoError(t, err)
	require.Greater(t, pair.ModifiedIndex, index)
}

func TestGuardedTransaction(t *testing.T) {
	path := tempFile(t)
	kv, other := openAt(t, path), openAt(t, path)
	lock, err := kv.Lock("lock")
	require.NoError(t, err)
	commit := func(lock *kvdb.KVPair) error {
		tx, err := kv.TxNew()
		require.NoError(t, err)
		require.NoError(t, kvdb.TxGuard(tx, lock))
		_, err = tx.Put("key", "value", 0)
		require.NoError(t, err)
		return tx.Commit()
	}
	require.NoError(t, commit(lock))
	require.NoError(t, kv.Unlock(lock))
	require.Equal(t, kvdb.ErrInvalidLock, commit(lock))
	theirs, err := other.Lock("lock")
	require.NoError(t, err)
	require.Equal(t, kvdb.ErrInvalidLock, commit(lock))
	require.NoError(t, other.Unlock(theirs))
}

// A lock gets no other holder while a transaction that it guards is written to disk.
func TestGuardHoldsUntilTheCommit(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	s, other := newStore(db), newStore(db)
	ctx := context.Background()
	lease, err := s.Lock(ctx, "lock", "owner", 0)
	require.NoError(t, err)
	<-db.writeLock
	committed, unlocked := make(chan error, 1), make(chan error, 1)
	go func() {
		committed <- s.Commit(ctx, nil, []driver.Write{{Key: "key", Value: []byte("guarded")}}, []driver.Lease{lease})
	}()
	for joined := false; !joined; { // until the transaction waits for its commit
		db.mu.Lock()
		joined = db.next != nil
		db.mu.Unlock()
	}
	go func() { unlocked <- lease.Release(ctx) }()
	require.Empty(t, unlocked)
	_, err = other.Lock(ctx, "lock", "other", 0)
	var held *driver.HeldError
	require.ErrorAs(t, err, &held)
	db.writeLock <- struct{}{}
	next, err := other.Lock(ctx, "lock", "other", time.Minute)
	require.NoError(t, err)
	pair, err := other.Get(ctx, "key")
	require.NoError(t, err)
	require.Equal(t, "guarded", string(pair.Value))
	require.NoError(t, <-committed)
	require.NoError(t, <-unlocked)
	require.NoError(t, next.Release(ctx))
}

// The values of a snapshot are copies, because bbolt overwrites the pages that they were
// read from.
func TestSnapshotValuesAreCopies(t *testing.T) {
	kv := openAt(t, tempFile(t))
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 8<<10) }
	for _, consistent := range []bool{false, true} {
		_, err := kv.Put("key", value(0), 0)
		require.NoError(t, err)
		snapshot, _, err := kv.Snapshot(nil, consistent)
		require.NoError(t, err)
		for i := range 20 {
			_, err := kv.Put("key", value(i+1), 0)
			require.NoError(t, err)
		}
		pair, err := snapshot.Get("key")
		require.NoError(t, err)
		require.True(t, bytes.Equal(value(0), pair.Value))
	}
}

// Snapshots are consistent even while the file cannot be written. Their index is that of
// the state, and a watch from it gets the later writes.
func TestSnapshotWithoutWrites(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	s := newStore(db)
	ctx := context.Background()
	put(t, s, "a", "value", 0)
	last := put(t, s, "b", "value", 0)
	commit := db.commitTx
	db.commitTx = func(*bbolt.Tx) error { return syscall.ENOSPC }
	_, err := s.Put(ctx, driver.Write{Key: "c"})
	require.Error(t, err)
	copied, index, err := s.Snapshot(ctx, []string{""}, true)
	require.NoError(t, err)
	require.Equal(t, last.Modified, index)
	require.Len(t, copied, 2)

	db.commitTx = commit
	later := put(t, s, "c", "value", 0)
	event := events(t, s, driver.WatchRequest{Prefix: true, After: index}, 1)[0]
	require.Equal(t, later.Modified, event.ModifiedIndex)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err = s.Snapshot(ended, []string{""}, true)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.Close(ctx))
	_, _, err = s.Snapshot(ctx, []string{""}, true)
	require.ErrorIs(t, err, kvdb.ErrClosed)
}
