package cache_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cache"
	"github.com/portworx/kvdb/mem"
)

// FuzzCache makes the writes that data describes, ends watches between them, and asserts
// that the cache and a subscriber end with the content of the store.
func FuzzCache(f *testing.F) {
	f.Add([]byte("\x00\x10\x20\x01\x11\x02\x05\x00\x21\x31\x04\x06\x03"))
	f.Add([]byte("000111222333444555666777"))
	f.Fuzz(func(t *testing.T, data []byte) {
		kv, err := mem.New("domain", nil, map[string]string{mem.KvHistory: "1"}, nil)
		require.NoError(t, err)
		defer kvdb.Close(kv)
		b := newBreakable(kv)
		c, err := cache.New(t.Context(), b, "dir/", cache.Options{})
		require.NoError(t, err)
		defer c.Close()
		v, changes := c.Subscribe(t.Context())
		state := content(v)
		keys := []string{"dir/a", "dir/b", "dir/_c", "dir/d/e", "dir/d/f", "other"}
		for i, step := range data {
			key := keys[int(step>>4)%len(keys)]
			switch step & 15 % 8 {
			case 0, 1, 2:
				put(t, kv, key, strconv.Itoa(i))
			case 3, 4:
				if _, err := kv.Delete(key); err != nil {
					require.Equal(t, kvdb.ErrNotFound, err)
				}
			case 5:
				require.NoError(t, kv.DeleteTree("dir/d"))
			case 6:
				b.endWatches(kvdb.ErrWatchRevisionCompacted)
			case 7:
				waitFor(t, c, put(t, kv, key, strconv.Itoa(i)))
			}
		}
		end := put(t, kv, "dir/end", "")
		waitFor(t, c, end)
		want := map[string]string{}
		for pair, err := range kvdb.PairsWith(kv, "dir/", kvdb.PageOptions{Hidden: true}) {
			require.NoError(t, err)
			want[pair.Key] = string(pair.Value)
			cached, err := c.Get(pair.Key)
			require.NoError(t, err)
			require.Equal(t, pair.ModifiedIndex, cached.ModifiedIndex)
			require.Equal(t, pair.CreatedIndex, cached.CreatedIndex)
		}
		require.Equal(t, want, content(c.View()))
		for change, err := range changes {
			require.NoError(t, err)
			if change.Old != nil {
				require.Equal(t, state[change.Old.Key], string(change.Old.Value))
				delete(state, change.Old.Key)
			}
			if change.New != nil {
				state[change.New.Key] = string(change.New.Value)
			}
			if change.Index >= end {
				break
			}
		}
		require.Equal(t, want, state)
	})
}
