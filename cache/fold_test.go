package cache_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cache"
)

// folding is a store whose watches tell nothing of some keys, as if each of their writes had
// been undone before the watch looked.
type folding struct{ kvdb.Kvdb }

func (f folding) Capabilities() int { return 0 }

func (f folding) BindContext(ctx context.Context) kvdb.Kvdb {
	return folding{kvdb.WithContext(ctx, f.Kvdb)}
}

func (f folding) WatchTree(prefix string, waitIndex uint64, opaque interface{}, cb kvdb.WatchCB) error {
	return f.Kvdb.WatchTree(prefix, waitIndex, opaque, func(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil && strings.Contains(pair.Key, "folded") {
			return nil
		}
		return cb(prefix, opaque, pair, err)
	})
}

// WaitFor ends although the watch does not tell the write, and the cache stays in sync.
func TestWaitForAFoldedWrite(t *testing.T) {
	kv := folding{newMem(t)}
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

// duringSnapshot is a folding store in which a key is created before the second snapshot.
type duringSnapshot struct {
	folding
	n *int
}

func (d duringSnapshot) BindContext(ctx context.Context) kvdb.Kvdb {
	return duringSnapshot{folding{kvdb.WithContext(ctx, d.Kvdb)}, d.n}
}

func (d duringSnapshot) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	if *d.n++; *d.n == 2 {
		if _, err := d.Put("dir/folded", "value", 0); err != nil {
			return nil, 0, err
		}
	}
	return d.folding.Snapshot(prefixes, consistent)
}

// A key that only the snapshot has shown leaves the cache when it is deleted, although the watch
// does not tell that.
func TestDeletionOfAnUntoldKey(t *testing.T) {
	kv := duringSnapshot{folding{newMem(t)}, new(int)}
	c, err := cache.New(t.Context(), kv, "dir/", cache.Options{OnError: func(err error) { t.Error(err) }})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Get("dir/folded")
	require.NoError(t, err)
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
