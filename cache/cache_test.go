package cache_test

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/cache"
	"github.com/portworx/kvdb/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newMem(t testing.TB) kvdb.Kvdb {
	kv, err := mem.New("domain", nil, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// onStores runs a test on each store of this process. The stores have a short history.
func onStores(t *testing.T, test func(t *testing.T, kv kvdb.Kvdb)) {
	t.Run("mem", func(t *testing.T) {
		kv, err := mem.New("domain", nil, map[string]string{mem.KvHistory: "1"}, nil)
		require.NoError(t, err)
		defer kvdb.Close(kv)
		test(t, kv)
	})
	t.Run("bolt", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "data")
		kv, err := bolt.New("domain", nil, map[string]string{bolt.Path: path, bolt.KvHistory: "1"}, nil)
		require.NoError(t, err)
		defer kvdb.Close(kv)
		test(t, kv)
	})
}

func newCache(t testing.TB, kv kvdb.Kvdb, prefix string, o cache.Options) *cache.Cache {
	c, err := cache.New(t.Context(), kv, prefix, o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// put writes a key, and returns the index of the write.
func put(t testing.TB, kv kvdb.Kvdb, key, value string) uint64 {
	pair, err := kv.Put(key, value, 0)
	require.NoError(t, err)
	return pair.ModifiedIndex
}

func remove(t testing.TB, kv kvdb.Kvdb, key string) uint64 {
	pair, err := kv.Delete(key)
	require.NoError(t, err)
	return pair.KVDBIndex
}

// waitFor waits until the cache has a write.
func waitFor(t testing.TB, c *cache.Cache, index uint64) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, c.WaitFor(ctx, index))
}

// content returns the values of a view by their keys.
func content(v *cache.View) map[string]string {
	values := map[string]string{}
	for key, pair := range v.All() {
		values[key] = string(pair.Value)
	}
	return values
}

func TestNewIsInSync(t *testing.T) {
	onStores(t, func(t *testing.T, kv kvdb.Kvdb) {
		put(t, kv, "other", "0")
		put(t, kv, "dir/b", "1")
		created := put(t, kv, "dir/a", "2")
		modified := put(t, kv, "dir/a", "3")
		put(t, kv, "dir/_hidden", "4")
		put(t, kv, "dis", "5")
		c := newCache(t, kv, "dir/", cache.Options{})
		require.True(t, c.Synced())
		require.Zero(t, c.Lag())
		require.Equal(t, map[string]string{"dir/a": "3", "dir/b": "1", "dir/_hidden": "4"}, content(c.View()))
		require.Equal(t, 3, c.View().Len())
		require.EqualValues(t, 1, c.View().Generation())
		require.Greater(t, c.Index(), modified)
		pair, err := c.Get("dir/a")
		require.NoError(t, err)
		require.Equal(t, "3", string(pair.Value))
		require.Equal(t, "dir/a", pair.Key)
		require.Equal(t, kvdb.KVGet, pair.Action)
		require.Equal(t, created, pair.CreatedIndex)
		require.Equal(t, modified, pair.ModifiedIndex)
		for _, key := range []string{"other", "dir/", "dir/c", "", "dis"} {
			_, err = c.Get(key)
			require.Equal(t, kvdb.ErrNotFound, err, key)
		}
		_, err = c.Get("dir/_hidden")
		require.NoError(t, err)
	})
}

// The cache has each kind of change, and the program reads its own writes.
func TestFollows(t *testing.T) {
	onStores(t, func(t *testing.T, kv kvdb.Kvdb) {
		c := newCache(t, kv, "", cache.Options{})
		for i := range 200 { // more than the history has
			waitFor(t, c, put(t, kv, "key", strconv.Itoa(i)))
			pair, err := c.Get("key")
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(i), string(pair.Value))
		}
		waitFor(t, c, remove(t, kv, "key"))
		_, err := c.Get("key")
		require.Equal(t, kvdb.ErrNotFound, err)
		put(t, kv, "dir/a", "1")
		put(t, kv, "dir/b", "1")
		require.NoError(t, kv.DeleteTree("dir"))
		waitFor(t, c, put(t, kv, "end", ""))
		require.Equal(t, map[string]string{"end": ""}, content(c.View()))
		require.True(t, c.Synced())
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t)
		_, err := kv.Put("key", "value", 10)
		require.NoError(t, err)
		c := newCache(t, kv, "", cache.Options{})
		pair, err := c.Get("key")
		require.NoError(t, err)
		require.Zero(t, pair.TTL)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		_, err = c.Get("key")
		require.Equal(t, kvdb.ErrNotFound, err)
		c.Close()
	})
}

func TestRange(t *testing.T) {
	kv := newMem(t)
	for _, key := range []string{"b/2", "a", "b", "b/1", "b/_x", "b/1/y", "bc", "_z", "b/_d/e"} {
		put(t, kv, key, key)
	}
	c := newCache(t, kv, "", cache.Options{})
	for _, prefix := range []string{"", "b", "b/", "b/1", "b/_", "none"} {
		var want, got []string
		for pair, err := range kvdb.Pairs(kv, prefix) {
			require.NoError(t, err)
			want = append(want, pair.Key)
		}
		for key, pair := range c.Range(prefix) {
			require.Equal(t, key, pair.Key)
			got = append(got, key)
		}
		require.Equal(t, want, got, prefix)
	}
	for range c.Range("") {
		break
	}
	keys := slices.Collect(maps.Keys(maps.Collect(c.View().All())))
	require.ElementsMatch(t, []string{"b/2", "a", "b", "b/1", "b/_x", "b/1/y", "bc", "_z", "b/_d/e"}, keys)
}

// A view does not change.
func TestViewsStay(t *testing.T) {
	kv := newMem(t)
	c := newCache(t, kv, "", cache.Options{})
	want := map[string]string{}
	var views []*cache.View
	var contents []map[string]string
	for i := range 500 {
		key := strconv.Itoa(i % 97)
		if i%3 == 2 {
			key = strconv.Itoa((i - 1) % 97)
			waitFor(t, c, remove(t, kv, key))
			delete(want, key)
		} else {
			waitFor(t, c, put(t, kv, key, strconv.Itoa(i)))
			want[key] = strconv.Itoa(i)
		}
		views, contents = append(views, c.View()), append(contents, maps.Clone(want))
	}
	for i, v := range views {
		require.Equal(t, contents[i], content(v))
		require.Equal(t, len(contents[i]), v.Len())
		for key, value := range contents[i] {
			pair, err := v.Get(key)
			require.NoError(t, err)
			require.Equal(t, value, string(pair.Value))
		}
	}
}

func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t)
		c := newCache(t, kv, "", cache.Options{})
		require.NoError(t, c.WaitFor(t.Context(), 0))
		require.NoError(t, c.WaitFor(t.Context(), c.Index()))
		cause := errors.New("cause")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		require.Equal(t, cause, c.WaitFor(ctx, c.Index()+1))
		waited := make(chan error, 2)
		go func() { waited <- c.WaitFor(t.Context(), c.Index()+1) }()
		synctest.Wait()
		require.Empty(t, waited)
		put(t, kv, "key", "value")
		require.NoError(t, <-waited)
		go func() { waited <- c.WaitFor(t.Context(), c.Index()+1) }()
		synctest.Wait()
		c.Close()
		require.Equal(t, kvdb.ErrClosed, <-waited)
		require.NoError(t, c.WaitFor(t.Context(), c.Index()))
	})
}

// The end of the context, of the Kvdb or of the cache ends the goroutine. Reads still work.
func TestEnd(t *testing.T) {
	for name, endOf := range map[string]func(cancel func(), kv kvdb.Kvdb, c *cache.Cache){
		"context": func(cancel func(), _ kvdb.Kvdb, _ *cache.Cache) { cancel() },
		"Kvdb":    func(_ func(), kv kvdb.Kvdb, _ *cache.Cache) { _ = kvdb.Close(kv) },
		"cache":   func(_ func(), _ kvdb.Kvdb, c *cache.Cache) { c.Close(); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kv, err := mem.New("", nil, nil, nil)
				require.NoError(t, err)
				put(t, kv, "key", "value")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c, err := cache.New(ctx, kv, "", cache.Options{})
				require.NoError(t, err)
				_, changes := c.Subscribe(t.Context())
				endOf(cancel, kv, c)
				for _, err := range changes {
					require.Equal(t, kvdb.ErrClosed, err)
				}
				require.Equal(t, kvdb.ErrClosed, c.WaitFor(t.Context(), 1<<60))
				pair, err := c.Get("key")
				require.NoError(t, err)
				require.Equal(t, "value", string(pair.Value))
				require.False(t, c.Synced())
				time.Sleep(time.Minute)
				require.GreaterOrEqual(t, c.Lag(), time.Minute)
				require.NoError(t, kvdb.Close(kv))
			})
		})
	}
}

func TestNewFails(t *testing.T) {
	kv := newMem(t)
	b := newBreakable(kv)
	refusal := errors.New("refused")
	b.refuse(refusal)
	c, err := cache.New(t.Context(), b, "", cache.Options{})
	require.ErrorIs(t, err, refusal)
	require.Nil(t, c)
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.ends) == 0
	}, 10*time.Second, time.Millisecond, "the watch has ended")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = cache.New(ctx, kv, "", cache.Options{})
	require.ErrorIs(t, err, context.Canceled)
	snapshot, _, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	_, err = cache.New(t.Context(), snapshot, "", cache.Options{})
	require.ErrorIs(t, err, mem.ErrSnap)
}

func TestReadsAllocateNothing(t *testing.T) {
	kv := newMem(t)
	put(t, kv, "key", `"value"`)
	c := newCache(t, kv, "", cache.Options{})
	o, err := cache.NewOf[string](t.Context(), kv, "", cache.Options{})
	require.NoError(t, err)
	defer o.Close()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := c.Get("key"); err != nil {
			t.Error(err)
		}
		if value, _, err := o.Get("key"); err != nil || value != "value" {
			t.Error(value, err)
		}
	}))
}
