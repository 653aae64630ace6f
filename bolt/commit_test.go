package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// whileCommitting calls start, which starts goroutines that write, in a state in which a
// commit seems to run, and returns when the goroutines have ended. It must be called in a
// synctest bubble.
func whileCommitting(db *database, start func()) {
	<-db.writeLock
	start()
	synctest.Wait() // until all goroutines of start wait for the commit
	db.writeLock <- struct{}{}
	synctest.Wait()
}

func TestWritersShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDatabase(t, tempFile(t))
		s := newStore(db)
		before := db.commits(t)
		indexes := map[uint64]bool{}
		var mu sync.Mutex
		whileCommitting(db, func() {
			for i := range 64 {
				go func() {
					written := put(t, s, fmt.Sprint(i), "value", 0)
					mu.Lock()
					defer mu.Unlock()
					indexes[written.Modified] = true
				}()
			}
		})
		require.Len(t, indexes, 64, "each write has an index of its own")
		require.Equal(t, 1, db.commits(t)-before)

		before = db.commits(t)
		for range 10 {
			put(t, s, "key", "value", 0)
		}
		require.Equal(t, 10, db.commits(t)-before, "a single writer commits at once")
	})
}

func TestCommitsOfManyWriters(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	s := newStore(db)
	before := db.commits(t)
	const writers, writes = 64, 50
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for range writes {
				put(t, s, fmt.Sprint(i), "value", 0)
			}
		})
	}
	wg.Wait()
	require.Less(t, db.commits(t)-before, writers*writes/10)
}

// Within a commit each write sees the earlier ones, and a write that fails does not affect
// the others.
func TestConditionsWithinACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDatabase(t, tempFile(t))
		s := newStore(db)
		before := db.commits(t)
		ctx := context.Background()
		cond := func(value string, c driver.Cond) func() error {
			return func() error {
				_, err := s.Put(ctx, driver.Write{Key: "key", Value: []byte(value), Cond: c})
				return err
			}
		}
		steps := []struct {
			write func() error
			err   error
		}{
			{cond("0", driver.Cond{Present: true}), kvdb.ErrNotFound},
			{cond("1", driver.Cond{Absent: true}), nil},
			{cond("2", driver.Cond{Absent: true}), kvdb.ErrExist},
			{cond("3", driver.Cond{Modified: 1}), nil},
			{cond("4", driver.Cond{Modified: 1}), kvdb.ErrModified},
			{cond("5", driver.Cond{HasValue: true, Value: []byte("4")}), kvdb.ErrValueMismatch},
			{cond("6", driver.Cond{HasValue: true, Value: []byte("3")}), nil},
			{func() error { return s.Commit(ctx, []driver.Read{{Key: "key", Modified: 2}}, nil, nil) }, kvdb.ErrModified},
			{func() error { return s.Commit(ctx, []driver.Read{{Key: "key", Modified: 3}}, nil, nil) }, nil},
			{func() error { _, err := s.Delete(ctx, "key", driver.Cond{Created: 1}); return err }, nil},
			{func() error { _, err := s.Delete(ctx, "key", driver.Cond{}); return err }, kvdb.ErrNotFound},
			{cond("7", driver.Cond{Unborn: true}), nil},
		}
		errs := make([]error, len(steps))
		whileCommitting(db, func() {
			for i, step := range steps {
				go func() { errs[i] = step.write() }()
				synctest.Wait()
			}
		})
		for i, step := range steps {
			require.Equal(t, step.err, errs[i], "step %d", i)
		}
		require.Equal(t, 1, db.commits(t)-before)
		pair, err := s.Get(ctx, "key")
		require.NoError(t, err)
		require.Equal(t, "7", string(pair.Value))
		require.Equal(t, uint64(5), pair.CreatedIndex)
	})
}

func TestFailedConditionsCommitNothing(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	s := newStore(db)
	before := db.commits(t)
	_, err := s.Delete(context.Background(), "key", driver.Cond{})
	require.Equal(t, kvdb.ErrNotFound, err)
	require.NoError(t, s.DeletePrefix(context.Background(), "none"))
	require.Equal(t, before, db.commits(t))
}

// Events come in the order of the commits, whichever goroutine wrote.
func TestEventsInCommitOrder(t *testing.T) {
	kv := openAt(t, tempFile(t))
	const writers, writes = 16, 50
	indexes := make(chan uint64, writers*writes)
	require.NoError(t, kv.WatchTree("", 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil {
			indexes <- pair.ModifiedIndex
		}
		return err
	}))
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for range writes {
				if _, err := kv.Put(fmt.Sprint(i), "value", 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range writers * writes {
		require.Equal(t, uint64(i+1), <-indexes)
	}
}

// A writer that gives up withdraws its write. The writers that joined its batch are
// committed by another goroutine.
func TestLeaderGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDatabase(t, tempFile(t))
		s := newStore(db)
		gone, giveUp := context.WithCancelCause(context.Background())
		reason := errors.New("reason")
		var leaderErr, followerErr, thirdErr error
		whileCommitting(db, func() {
			go func() { _, leaderErr = s.Put(gone, driver.Write{Key: "leader"}) }()
			synctest.Wait()
			go func() { _, followerErr = s.Put(context.Background(), driver.Write{Key: "follower"}) }()
			go func() { _, thirdErr = s.Put(gone, driver.Write{Key: "third"}) }()
			synctest.Wait()
			giveUp(reason)
		})
		for _, err := range []error{leaderErr, thirdErr} {
			require.ErrorIs(t, err, reason)
			require.ErrorIs(t, err, context.Canceled)
		}
		require.NoError(t, followerErr)
		for key, want := range map[string]error{"leader": kvdb.ErrNotFound, "third": kvdb.ErrNotFound, "follower": nil} {
			_, err := s.Get(context.Background(), key)
			require.Equal(t, want, err, key)
		}
	})
}

func TestCloseEndsWaitingWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tempFile(t)
		db, err := acquire(path, 100, false)
		require.NoError(t, err)
		s := newStore(db)
		errs := make([]error, 5)
		<-db.writeLock
		for i := range errs {
			go func() { _, errs[i] = s.Put(context.Background(), driver.Write{Key: "key"}) }()
		}
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- s.Close(t.Context()) }()
		synctest.Wait()
		for _, err := range errs {
			require.Equal(t, kvdb.ErrClosed, err)
		}
		db.writeLock <- struct{}{}
		require.NoError(t, <-closed)
		_, err = s.Put(context.Background(), driver.Write{Key: "key"})
		require.Equal(t, kvdb.ErrClosed, err)
		_, err = s.Get(context.Background(), "key")
		require.Equal(t, kvdb.ErrClosed, err)
	})
}

var errDisk = errors.New("disk error")

// commitWith sets the function that commits a transaction.
func (db *database) commitWith(commit func(*bbolt.Tx) error) {
	<-db.writeLock
	db.commitTx = commit
	db.writeLock <- struct{}{}
}

// If a commit fails, exactly the writes in it fail.
func TestCommitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDatabase(t, tempFile(t))
		s := newStore(db)
		first := put(t, s, "key", "old", 0)
		db.commitWith(func(tx *bbolt.Tx) error { return errors.Join(tx.Rollback(), errDisk) })
		errs := make([]error, 3)
		whileCommitting(db, func() {
			for i := range errs {
				go func() {
					_, errs[i] = s.Put(context.Background(), driver.Write{Key: "key", Cond: driver.Cond{Modified: first.Modified}})
				}()
			}
		})
		for _, err := range errs {
			require.ErrorIs(t, err, errDisk)
			require.ErrorContains(t, err, db.path)
			require.NotErrorIs(t, err, kvdb.ErrUnknownOutcome)
		}
		db.commitWith((*bbolt.Tx).Commit)
		pair, err := s.Get(context.Background(), "key")
		require.NoError(t, err)
		require.Equal(t, "old", string(pair.Value))
		require.Equal(t, first.Modified, pair.KVDBIndex)
		require.Equal(t, first.Modified+1, put(t, s, "key", "new", 0).Modified)
	})
}

// A meta page that was written but not synced is synced later.
func TestCommitSyncedLater(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	s := newStore(db)
	db.commitWith(func(tx *bbolt.Tx) error { return errors.Join(tx.Commit(), errDisk) })
	put(t, s, "key", "value", 0)
}

// A repair that succeeded is not repeated.
func TestRepairIsDoneOnce(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	s := newStore(db)
	repairs := 0
	<-db.writeLock
	db.repair = func() error { repairs++; return nil }
	db.writeLock <- struct{}{}
	put(t, s, "key", "value", 0)
	put(t, s, "key", "value", 0)
	require.Equal(t, 1, repairs)
}

// While the meta page cannot be synced, the outcome is unknown, and nothing else is
// written.
func TestCommitOutcomeUnknown(t *testing.T) {
	db := openDatabase(t, tempFile(t))
	s := newStore(db)
	file := db.file.Load()
	disk := file.raw
	failing, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.NoError(t, failing.Close())
	file.raw = failing
	db.commitWith(func(tx *bbolt.Tx) error { return errors.Join(tx.Commit(), errDisk) })
	_, err = s.Put(context.Background(), driver.Write{Key: "key", Value: []byte("value")})
	require.ErrorIs(t, err, kvdb.ErrUnknownOutcome)
	require.ErrorIs(t, err, errDisk)
	db.commitWith((*bbolt.Tx).Commit)

	pair, err := s.Get(context.Background(), "key")
	require.NoError(t, err, "this process sees the write")
	require.Equal(t, uint64(1), pair.ModifiedIndex)
	stream, err := s.Watch(context.Background(), driver.WatchRequest{Key: "key"})
	require.NoError(t, err)
	events, err := stream.Next()
	require.NoError(t, err)
	require.Equal(t, uint64(1), events[0].ModifiedIndex)
	stream.Close()

	_, err = s.Put(context.Background(), driver.Write{Key: "key"})
	require.Error(t, err)
	require.NotErrorIs(t, err, kvdb.ErrUnknownOutcome)
	file.raw = disk
	require.Equal(t, uint64(2), put(t, s, "key", "new", 0).Modified)
}

// fillDisk writes to a file until it reaches a limit of its size. The system then refuses
// writes as if the disk were full.
func fillDisk() {
	signal.Ignore(syscall.SIGXFSZ)
	path := os.Args[1]
	kv, err := newKvdb(path)
	must(err)
	_, err = kv.Put("first", "value", 0)
	must(err)
	must(limitFiles(1 << 20))
	value := strings.Repeat("v", 10_000)
	n := 0
	for ; err == nil && n < 1000; n++ {
		_, err = kv.Put(fmt.Sprintf("key%d", n), value, 0)
	}
	full := err != nil && strings.Contains(err.Error(), syscall.EFBIG.Error()) // bbolt does not wrap it
	fmt.Println("full:", full, errors.Is(err, kvdb.ErrUnknownOutcome))
	_, err = kv.Get(fmt.Sprintf("key%d", n-1))
	fmt.Println("the last write:", err)
	_, err = kv.Get(fmt.Sprintf("key%d", n-2))
	fmt.Println("the one before:", err)
	must(limitFiles(1 << 30))
	_, err = kv.Put("last", "value", 0)
	fmt.Println("with room:", err)
	must(kvdb.Close(kv))
}

// defragmentFull defragments a file, with less and less space for the new file. Its
// argument is the path.
func defragmentFull() {
	signal.Ignore(syscall.SIGXFSZ)
	kv, err := newKvdb(os.Args[1])
	must(err)
	for _, room := range []uint64{256 << 10, 64 << 10, 4 << 10, 100, 0} {
		must(limitFiles(room))
		err := kv.Defragment("", 0)
		_, statErr := os.Stat(os.Args[1] + compactSuffix)
		fmt.Println(err != nil, errors.Is(statErr, fs.ErrNotExist))
	}
	must(limitFiles(1 << 30))
	must(kv.Defragment("", 0))
	must(kvdb.Close(kv))
	fmt.Println("done")
}

func limitFiles(size uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = size
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

func TestDiskFull(t *testing.T) {
	path := tempFile(t)
	c := startChild(t, "fill", path)
	require.Equal(t, "full: true false", c.line())
	require.Equal(t, "the last write: Key not found", c.line())
	require.Equal(t, "the one before: <nil>", c.line())
	require.Equal(t, "with room: <nil>", c.line())
	c.wait()
	kv := openAt(t, path)
	_, err := kv.Get("last")
	require.NoError(t, err)
	_, err = kv.Get("key0")
	require.NoError(t, err)
}

// A Defragment that fails because the disk is full removes the new file, whatever its size.
func TestDefragmentOnAFullDisk(t *testing.T) {
	path := tempFile(t)
	kv := fragmented(t, path)
	before := contents(t, kv)
	closeKvdb(t, kv)
	c := startChild(t, "defragment", path)
	for line := c.line(); line != "done"; line = c.line() {
		require.Equal(t, "true true", line)
	}
	c.wait()
	require.Equal(t, before, contents(t, openAt(t, path)))
}

// A file that is truncated while it is open causes an error, not a crash.
func TestFileCutOffWhileOpen(t *testing.T) {
	for _, size := range []int64{0, 4096, 3 * 4096} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path := tempFile(t)
			db, err := acquire(path, 100, false)
			require.NoError(t, err)
			s := newStore(db)
			put(t, s, "key", strings.Repeat("v", 100_000), 0)
			require.NoError(t, os.Truncate(path, size))
			within(t, 10*time.Second, func() {
				for range 3 {
					_, err := s.Get(context.Background(), "key")
					require.ErrorIs(t, err, ErrCorrupt)
					require.ErrorContains(t, err, path)
					_, err = s.List(context.Background(), "", driver.ListOptions{})
					require.ErrorIs(t, err, ErrCorrupt)
					_, err = s.Put(context.Background(), driver.Write{Key: "key"})
					require.ErrorIs(t, err, ErrCorrupt)
				}
				require.NoError(t, s.Close(t.Context()))
			})
		})
	}
}

func TestTooLarge(t *testing.T) {
	kv := openAt(t, tempFile(t))
	_, err := kv.Put("key", make([]byte, profile.MaxValue+1), 0)
	require.ErrorIs(t, err, kvdb.ErrTooLarge)
	longest := strings.Repeat("k", bbolt.MaxKeySize)
	_, err = kv.Put(longest+"k", "value", 0)
	require.ErrorIs(t, err, kvdb.ErrIllegal)
	_, err = kv.Put(longest, "value", 1000)
	require.NoError(t, err, "a TTL needs no room in the key")
	pair, err := kv.Get(longest)
	require.NoError(t, err)
	require.Equal(t, "value", string(pair.Value))
}
