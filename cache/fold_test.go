package cache_test

import (
	"context"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cache"
	"github.com/portworx/kvdb/mem"
)

// folding is a store whose watches tell nothing of some keys but the first deletions, as if
// each of their other writes had been undone before the watch looked.
type folding struct {
	kvdb.Kvdb
	deletions int // the number that each watch tells
}

func (f folding) Capabilities() int { return 0 }

func (f folding) BindContext(ctx context.Context) kvdb.Kvdb {
	return folding{kvdb.WithContext(ctx, f.Kvdb), f.deletions}
}

func (f folding) WatchTree(prefix string, waitIndex uint64, opaque interface{}, cb kvdb.WatchCB) error {
	left := f.deletions
	return f.Kvdb.WatchTree(prefix, waitIndex, opaque, func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil && strings.Contains(pair.Key, "folded") {
			if pair.Action != kvdb.KVDelete || left == 0 {
				return nil
			}
			left--
		}
		return cb(prefix, opaque, pair, err)
	})
}

// WaitFor ends although the watch does not tell the write, and the cache stays in sync.
func TestWaitForAFoldedWrite(t *testing.T) {
	kv := folding{Kvdb: newMem(t)}
	c, err := cache.New(t.Context(), kv, "dir/", cache.Options{OnError: func(err error) { t.Error(err) }})
	require.NoError(t, err)
	defer c.Close()
	_, err = kv.Put("dir/folded", "value", 0)
	require.NoError(t, err)
	deleted, err := kv.Delete("dir/folded")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, c.WaitFor(ctx, deleted.KVDBIndex))
	require.True(t, c.Synced())
	pair, err := kv.Put("dir/key", "value", 0)
	require.NoError(t, err)
	require.NoError(t, c.WaitFor(ctx, pair.ModifiedIndex))
	held, err := c.Get("dir/key")
	require.NoError(t, err)
	require.Equal(t, "value", string(held.Value))
}

// duringSnapshot is a store in which something happens before the second snapshot.
type duringSnapshot struct {
	kvdb.Kvdb
	n    *int
	what func() error
}

func (d duringSnapshot) BindContext(ctx context.Context) kvdb.Kvdb {
	return duringSnapshot{kvdb.WithContext(ctx, d.Kvdb), d.n, d.what}
}

func (d duringSnapshot) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	if *d.n++; *d.n == 2 {
		if err := d.what(); err != nil {
			return nil, 0, err
		}
	}
	return d.Kvdb.Snapshot(prefixes, consistent)
}

// A key that only the snapshot has shown leaves the cache when it is deleted, although the watch
// does not tell that.
func TestDeletionOfAnUntoldKey(t *testing.T) {
	store := newMem(t)
	followsDeletion(t, duringSnapshot{folding{Kvdb: store}, new(int), func() error {
		_, err := store.Put("dir/folded", "value", 0)
		return err
	}})
}

// A later life of a key leaves the cache too, if the watch tells that the key was deleted before it was created anew.
func TestDeletionOfAKeyThatWasCreatedAnew(t *testing.T) {
	store := newMem(t)
	put(t, store, "dir/folded", "first")
	followsDeletion(t, duringSnapshot{folding{store, 1}, new(int), func() error {
		_, err := store.Delete("dir/folded")
		if err == nil {
			_, err = store.Put("dir/folded", "again", 0)
		}
		return err
	}})
}

// followsDeletion asserts that the key "dir/folded", which the first snapshot of a cache has,
// leaves the cache when it is deleted.
func followsDeletion(t *testing.T, kv kvdb.Kvdb) {
	t.Helper()
	c, err := cache.New(t.Context(), kv, "dir/", cache.Options{OnError: func(err error) { t.Error(err) }})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Get("dir/folded")
	require.NoError(t, err)
	waitFor(t, c, put(t, kv, "dir/told", "value")) // so the watch has told what is before
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, changes := c.Subscribe(ctx)
	_, err = kv.Delete("dir/folded")
	require.NoError(t, err)
	for change, err := range changes {
		require.NoError(t, err)
		require.Equal(t, "dir/folded", change.Old.Key)
		require.Nil(t, change.New)
		break
	}
	require.True(t, c.Synced())
}

// slow is a folding store whose watches tell nothing until it may.
type slow struct {
	kvdb.Kvdb
	may       <-chan struct{}
	snapshots *atomic.Int32
}

func (s slow) Capabilities() int { return 0 }

func (s slow) BindContext(ctx context.Context) kvdb.Kvdb {
	return slow{kvdb.WithContext(ctx, s.Kvdb), s.may, s.snapshots}
}

func (s slow) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	s.snapshots.Add(1)
	return s.Kvdb.Snapshot(prefixes, consistent)
}

func (s slow) EnumeratePagesWith(prefix string, o kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	return kvdb.PairsWith(s.Kvdb, prefix, o)
}

func (s slow) WatchTree(prefix string, waitIndex uint64, opaque interface{}, cb kvdb.WatchCB) error {
	return s.Kvdb.WatchTree(prefix, waitIndex, opaque, func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil {
			<-s.may
		}
		return cb(prefix, opaque, pair, err)
	})
}

// WaitFor does not end a watch that is late: a store that is slow already would have to begin
// another one, and a snapshot.
func TestWaitForALateWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := mem.New("", nil, nil, nil)
		require.NoError(t, err)
		defer kvdb.Close(store)
		may := make(chan struct{})
		kv := slow{store, may, new(atomic.Int32)}
		c, err := cache.New(t.Context(), kv, "dir/", cache.Options{})
		require.NoError(t, err)
		defer c.Close()
		began := kv.snapshots.Load()
		index := put(t, kv, "dir/key", "value")
		time.AfterFunc(time.Minute, func() { close(may) })
		require.NoError(t, c.WaitFor(t.Context(), index))
		require.Equal(t, began, kv.snapshots.Load())
	})
}
