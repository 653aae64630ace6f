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
