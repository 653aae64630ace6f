package bolt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// entries returns the number of entries in a bucket.
func entries(t testing.TB, db *database, bucket []byte) (n int) {
	t.Helper()
	require.NoError(t, db.view(func(tx *bbolt.Tx) error {
		n = tx.Bucket(bucket).Stats().KeyN
		return nil
	}))
	return n
}

// events returns the next n events below prefix.
func events(t testing.TB, s *store, r driver.WatchRequest, n int) (events []*kvdb.KVPair) {
	t.Helper()
	stream, err := s.Watch(context.Background(), r)
	require.NoError(t, err)
	defer stream.Close()
	for len(events) < n {
		next, err := stream.Next()
		require.NoError(t, err)
		events = append(events, next...)
	}
	return events
}

// A pair that was read has the remaining seconds, rounded up. A pair of a snapshot has
// those at the time of the snapshot.
func TestTTLOfPairsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(openDatabase(t, tempFile(t)))
		ctx := context.Background()
		put(t, s, "a", "value", 0)
		put(t, s, "b", "value", 10*time.Second)
		check := func(want int64) {
			t.Helper()
			pair, err := s.Get(ctx, "b")
			require.NoError(t, err)
			require.Equal(t, want, pair.TTL)
			page, err := s.List(ctx, "", driver.ListOptions{})
			require.NoError(t, err)
			require.Zero(t, page.Pairs[0].TTL)
			require.Equal(t, want, page.Pairs[1].TTL)
			_, existing, err := s.Create(ctx, driver.Write{Key: "b", Cond: driver.Cond{Absent: true}})
			require.Equal(t, kvdb.ErrExist, err)
			require.Equal(t, want, existing.TTL)
			copied, _, err := s.Snapshot(ctx, []string{""}, true)
			require.NoError(t, err)
			require.Equal(t, want, copied[1].TTL)
		}
		check(10)
		time.Sleep(time.Nanosecond)
		check(10)
		time.Sleep(time.Second - 1)
		check(9)
		time.Sleep(9*time.Second - 1)
		check(1)
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDatabase(t, tempFile(t))
		s := newStore(db)
		ctx := context.Background()
		put(t, s, "long", "value", time.Hour)
		written := put(t, s, "short", "value", time.Second)
		put(t, s, "never", "value", 0)
		time.Sleep(time.Second - 1)
		_, err := s.Get(ctx, "short")
		require.NoError(t, err, "it has not expired yet")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		_, err = s.Get(ctx, "short")
		require.Equal(t, kvdb.ErrNotFound, err)
		all := events(t, s, driver.WatchRequest{Prefix: true, After: 3}, 1)
		require.Len(t, all, 1)
		require.Equal(t, kvdb.KVPair{
			Key: "short", Value: []byte("value"), Action: kvdb.KVDelete,
			CreatedIndex: written.Created, ModifiedIndex: 4, KVDBIndex: 4,
		}, *all[0])
		require.Equal(t, 2, entries(t, db, pairsBucket), "the expired pair is deleted")
		require.Equal(t, 1, entries(t, db, expiriesBucket))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, "long", events(t, s, driver.WatchRequest{Prefix: true, After: 4}, 1)[0].Key)
		require.Equal(t, 0, entries(t, db, expiriesBucket))
	})
}

// An expired key is hidden even if it could not be deleted yet.
func TestExpiredButNotDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDatabase(t, tempFile(t))
		s := newStore(db)
		ctx := context.Background()
		put(t, s, "dir/a/x", "value", time.Second)
		put(t, s, "dir/b", "value", time.Second)
		put(t, s, "dir/c", "value", 0)
		<-db.writeLock
		time.Sleep(time.Minute)
		for _, key := range []string{"dir/a/x", "dir/b"} {
			_, err := s.Get(ctx, key)
			require.Equal(t, kvdb.ErrNotFound, err)
		}
		page, err := s.List(ctx, "dir", driver.ListOptions{Limit: 1})
		require.NoError(t, err)
		require.Len(t, page.Pairs, 1)
		require.Equal(t, "dir/c", page.Pairs[0].Key)
		require.False(t, page.More)
		names, err := s.Children(ctx, "dir/", "/")
		require.NoError(t, err)
		require.Equal(t, []string{"c"}, names)
		copied, _, err := s.Snapshot(ctx, []string{""}, false)
		require.NoError(t, err)
		require.Len(t, copied, 1)
		require.Equal(t, 3, entries(t, db, pairsBucket))

		// A writer that runs before the timer also finds that the key has expired.
		created := make(chan error)
		go func() {
			_, err := s.Put(ctx, driver.Write{Key: "dir/b", Cond: driver.Cond{Absent: true}})
			created <- err
		}()
		synctest.Wait()
		db.writeLock <- struct{}{}
		require.NoError(t, <-created)
		synctest.Wait()
		var actions []kvdb.KVAction
		for _, e := range events(t, s, driver.WatchRequest{Key: "dir/b"}, 3) {
			actions = append(actions, e.Action)
		}
		require.Equal(t, []kvdb.KVAction{kvdb.KVCreate, kvdb.KVDelete, kvdb.KVCreate}, actions)
		require.Equal(t, 0, entries(t, db, expiriesBucket))
	})
}

func TestDeletePrefixOfExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDatabase(t, tempFile(t))
		s := newStore(db)
		put(t, s, "dir/a", "value", time.Second)
		put(t, s, "dir/b", "value", time.Hour)
		<-db.writeLock
		time.Sleep(time.Minute)
		go func() {
			if err := s.DeletePrefix(context.Background(), "dir/"); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		db.writeLock <- struct{}{}
		synctest.Wait()
		all := events(t, s, driver.WatchRequest{Prefix: true, After: 2}, 2)
		require.Equal(t, kvdb.KVDelete, all[0].Action)
		require.Equal(t, kvdb.KVDelete, all[1].Action)
		require.Equal(t, 0, entries(t, db, pairsBucket)+entries(t, db, expiriesBucket))
	})
}

// A later write replaces the TTL of an earlier one.
func TestTTLReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDatabase(t, tempFile(t))
		s := newStore(db)
		ctx := context.Background()
		put(t, s, "forever", "old", time.Second)
		put(t, s, "forever", "new", 0)
		put(t, s, "longer", "old", time.Second)
		put(t, s, "longer", "new", time.Minute)
		put(t, s, "shorter", "old", time.Minute)
		put(t, s, "shorter", "new", time.Second)
		put(t, s, "anew", "old", time.Second)
		_, err := s.Delete(ctx, "anew", driver.Cond{})
		require.NoError(t, err)
		put(t, s, "anew", "new", 0)
		require.Equal(t, 2, entries(t, db, expiriesBucket))
		time.Sleep(30 * time.Second)
		for key, want := range map[string]error{"forever": nil, "longer": nil, "anew": nil, "shorter": kvdb.ErrNotFound} {
			_, err := s.Get(ctx, key)
			require.Equal(t, want, err, key)
		}
		time.Sleep(30 * time.Second)
		_, err = s.Get(ctx, "longer")
		require.Equal(t, kvdb.ErrNotFound, err)
	})
}

// If the file is opened a week later, the expired keys are deleted and the others are not.
func TestExpiryWhileClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempFile(t)
		db, err := acquire(path, 100, false)
		require.NoError(t, err)
		s := newStore(db)
		ctx := context.Background()
		const keys = 2*expiryBatch + 10
		var writes []driver.Write
		for i := range keys {
			writes = append(writes, driver.Write{Key: fmt.Sprint(i), TTL: time.Hour})
		}
		writeAll(t, s, writes)
		put(t, s, "long", "value", 8*24*time.Hour)
		require.NoError(t, s.Close(t.Context()))

		time.Sleep(7 * 24 * time.Hour)
		db = openDatabase(t, path)
		s = newStore(db)
		require.Equal(t, 1, entries(t, db, pairsBucket))
		require.Equal(t, 1, entries(t, db, expiriesBucket))
		expiries := events(t, s, driver.WatchRequest{Prefix: true}, 100)
		require.Equal(t, kvdb.KVDelete, expiries[0].Action)
		require.Greater(t, expiries[0].ModifiedIndex, uint64(keys+1))
		_, err = s.Get(ctx, "long")
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.Equal(t, 0, entries(t, db, pairsBucket))
	})
}

// A deletion of expired keys that fails is retried.
func TestExpiryIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDatabase(t, tempFile(t))
		s := newStore(db)
		put(t, s, "key", "value", time.Second)
		db.commitWith(func(tx *bbolt.Tx) error { return errors.Join(tx.Rollback(), errDisk) })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, entries(t, db, pairsBucket))
		db.commitWith((*bbolt.Tx).Commit)
		time.Sleep(expiryRetry)
		synctest.Wait()
		require.Equal(t, 0, entries(t, db, pairsBucket))
	})
}

// An expiry entry of a value that was replaced deletes nothing.
func TestStaleExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempFile(t)
		kv := openAt(t, path)
		_, err := kv.Put("key", "value", 0)
		require.NoError(t, err)
		closeKvdb(t, kv)
		updateRaw(t, path, func(tx *bbolt.Tx) error {
			return tx.Bucket(expiriesBucket).Put(make([]byte, expiryKeySize), []byte("key"))
		})
		db := openDatabase(t, path)
		_, err = newStore(db).Get(context.Background(), "key")
		require.NoError(t, err)
		require.Equal(t, 0, entries(t, db, expiriesBucket))
	})
}

func TestLargestTTL(t *testing.T) {
	kv := openAt(t, tempFile(t))
	largest := uint64(profile.MaxTTL / time.Second)
	_, err := kv.Put("key", "value", largest)
	require.NoError(t, err)
	_, err = kv.Get("key")
	require.NoError(t, err)
	for _, ttl := range []uint64{largest + 1, math.MaxInt64, math.MaxUint64} {
		_, err = kv.Put("other", "value", ttl)
		require.Equal(t, kvdb.ErrTTLNotSupported, err)
	}
}

// The cost of an expiry depends on the keys that have expired, not on those that will
// expire.
func TestExpiryCost(t *testing.T) {
	for _, others := range []int{1000, *largeSize} {
		db := openDatabase(t, tempFile(t))
		s := newStore(db)
		var writes []driver.Write
		for i := range others {
			writes = append(writes, driver.Write{Key: fmt.Sprint(i), TTL: time.Hour})
		}
		for i := range 10 {
			writes = append(writes, driver.Write{Key: fmt.Sprintf("due%d", i), TTL: time.Minute})
		}
		writeAll(t, s, writes)
		require.NoError(t, db.view(func(tx *bbolt.Tx) error {
			c := &countingCursor{cursor: tx.Bucket(expiriesBucket).Cursor()}
			_, keys, _, err := due(c, time.Now().Add(time.Minute).UnixNano(), expiryBatch)
			require.Len(t, keys, 10)
			require.Equal(t, 11, c.steps)
			return err
		}))
	}
}

// The timer is set to the shortest TTL of a commit, at whatever position in the commit.
func TestShortestTTLOfACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(openDatabase(t, tempFile(t)))
		began := time.Now()
		require.NoError(t, s.Commit(context.Background(), nil, []driver.Write{
			{Key: "middle", TTL: time.Minute}, {Key: "short", TTL: time.Second}, {Key: "long", TTL: time.Hour},
		}, nil))
		all := events(t, s, driver.WatchRequest{Key: "short"}, 2)
		require.Equal(t, kvdb.KVDelete, all[1].Action)
		require.Equal(t, time.Second, time.Since(began))
	})
}
