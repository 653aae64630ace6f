package cache_test

import (
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cache"
)

// told reads n changes, and returns them in a readable form.
func told(t *testing.T, next func() (cache.Change, error, bool), n int) []string {
	t.Helper()
	var texts []string
	for range n {
		change, err, ok := next()
		require.True(t, ok)
		require.NoError(t, err)
		texts = append(texts, text(change))
	}
	return texts
}

// text returns a change as key, old value, new value.
func text(c cache.Change) string {
	key, old, now := "", "-", "-"
	if c.Old != nil {
		key, old = c.Old.Key, string(c.Old.Value)
	}
	if c.New != nil {
		key, now = c.New.Key, string(c.New.Value)
	}
	return key + " " + old + " " + now
}

// When the watch ends, the cache compares itself with the store, and tells the differences.
func TestComesBack(t *testing.T) {
	for _, end := range []error{kvdb.ErrWatchRevisionCompacted, kvdb.ErrWatchStopped} {
		onStores(t, func(t *testing.T, kv kvdb.Kvdb) {
			b := newBreakable(kv)
			for _, key := range []string{"changed", "deleted", "kept", "recreated"} {
				put(t, kv, key, "1")
			}
			var reported atomic.Value
			c := newCache(t, b, "", cache.Options{OnError: func(err error) { reported.CompareAndSwap(nil, err) }})
			kept, err := c.Get("kept")
			require.NoError(t, err)
			_, changes := c.Subscribe(t.Context())
			next, stop := pull(changes)
			defer stop()

			refusal := errors.New("refused")
			b.refuse(refusal)
			b.endWatches(end)
			require.Eventually(t, func() bool { return !c.Synced() }, 10*time.Second, time.Millisecond)
			require.Positive(t, c.Lag())
			put(t, kv, "changed", "2")
			remove(t, kv, "deleted")
			remove(t, kv, "recreated")
			put(t, kv, "recreated", "1")
			last := put(t, kv, "new", "1")
			pair, err := c.Get("changed")
			require.NoError(t, err)
			require.Equal(t, "1", string(pair.Value))
			require.Equal(t, end, reported.Load())

			b.refuse(nil)
			waitFor(t, c, last)
			require.Equal(t, map[string]string{"changed": "2", "kept": "1", "recreated": "1", "new": "1"}, content(c.View()))
			require.Equal(t, []string{"changed 1 2", "recreated 1 1", "new - 1", "deleted 1 -"}, told(t, next, 4))
			same, err := c.Get("kept")
			require.NoError(t, err)
			require.Same(t, kept, same)
			require.EqualValues(t, 1, c.View().Generation())
			waitFor(t, c, put(t, kv, "later", "1"))
			require.Equal(t, []string{"later - 1"}, told(t, next, 1))
			require.True(t, c.Synced())
		})
	}
}

// Synced is false, and Lag grows, while the watch cannot be started again.
func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t)
		b := newBreakable(kv)
		var errs []error
		c := newCache(t, b, "", cache.Options{OnError: func(err error) { errs = append(errs, err) }})
		b.refuse(kvdb.ErrNoConnection)
		began := time.Now()
		b.endWatches(kvdb.ErrWatchStopped)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.False(t, c.Synced())
		require.Equal(t, time.Since(began), c.Lag())
		require.Equal(t, kvdb.ErrWatchStopped, errs[0])
		require.ErrorIs(t, errs[1], kvdb.ErrNoConnection)
		require.Less(t, len(errs), 3600/2, "retries are delayed")
		require.Greater(t, len(errs), 3600/10, "retries go on")
		b.refuse(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.True(t, c.Synced())
		require.Zero(t, c.Lag())
		c.Close()
	})
}

// Changes between the beginning of the watch and the snapshot, and after it, are seen once.
func TestWritesDuringTheStart(t *testing.T) {
	onStores(t, func(t *testing.T, kv kvdb.Kvdb) {
		for _, key := range []string{"changed", "deleted", "recreated", "kept"} {
			put(t, kv, key, "1")
		}
		b := newBreakable(kv)
		b.held = func() {
			put(t, kv, "changed", "2")
			remove(t, kv, "deleted")
			remove(t, kv, "recreated")
			put(t, kv, "recreated", "2")
			put(t, kv, "short", "1")
			remove(t, kv, "short")
		}
		c := newCache(t, b, "", cache.Options{})
		want := map[string]string{"changed": "2", "recreated": "2", "kept": "1"}
		require.Equal(t, want, content(c.View()))
		v, changes := c.Subscribe(t.Context())
		require.Same(t, c.View(), v)
		next, stop := pull(changes)
		defer stop()
		waitFor(t, c, put(t, kv, "kept", "2"))
		want["kept"] = "2"
		require.Equal(t, want, content(c.View()))
		require.Equal(t, []string{"kept 1 2"}, told(t, next, 1), "earlier events change nothing")
	})
}

// The cache follows a store that went back to an earlier state, and says so.
func TestStoreWentBack(t *testing.T) {
	for _, passed := range []bool{false, true} {
		kv, earlier := newMem(t), newMem(t)
		put(t, kv, "same indexes", "1")
		put(t, earlier, "same indexes", "2")
		for i := range 20 {
			put(t, kv, "key", strconv.Itoa(i))
			put(t, kv, "gone", "1")
		}
		put(t, earlier, "key", "earlier")
		put(t, earlier, "old", "1")
		if passed { // the index is larger than before, but not that of every key
			for range 100 {
				put(t, earlier, "busy", "1")
			}
		}
		b := newBreakable(kv)
		c := newCache(t, b, "", cache.Options{})
		before := c.Index()
		waited := make(chan error, 1)
		go func() { waited <- c.WaitFor(t.Context(), 1000) }()
		_, changes := c.Subscribe(t.Context())
		next, stop := pull(changes)
		defer stop()
		b.mu.Lock()
		b.store = earlier
		b.mu.Unlock()
		b.endWatches(kvdb.ErrWatchRevisionCompacted)
		change, err, _ := next()
		require.NoError(t, err)
		require.EqualValues(t, 2, change.Generation)
		require.EqualValues(t, 2, c.View().Generation())
		require.Equal(t, passed, c.Index() > before)
		pair, err := c.Get("key")
		require.NoError(t, err)
		require.Equal(t, "earlier", string(pair.Value))
		pair, err = c.Get("same indexes")
		require.NoError(t, err)
		require.Equal(t, "2", string(pair.Value))
		_, err = c.Get("gone")
		require.Equal(t, kvdb.ErrNotFound, err)
		select {
		case err := <-waited:
			require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
		case <-time.After(10 * time.Second):
			t.Fatal("WaitFor does not return")
		}
		index := put(t, earlier, "key", "later")
		waitFor(t, c, index)
		require.Equal(t, index, c.Index())
		pair, err = c.Get("key")
		require.NoError(t, err)
		require.Equal(t, "later", string(pair.Value))
		c.Close()
	}
}

// The index shows that a store without keys went back.
func TestStoreWasWiped(t *testing.T) {
	kv := newMem(t)
	put(t, kv, "key", "1")
	b := newBreakable(kv)
	c := newCache(t, b, "", cache.Options{})
	_, changes := c.Subscribe(t.Context())
	next, stop := pull(changes)
	defer stop()
	b.mu.Lock()
	b.store = newMem(t)
	b.mu.Unlock()
	b.endWatches(kvdb.ErrWatchRevisionCompacted)
	require.Equal(t, []string{"key 1 -"}, told(t, next, 1))
	require.EqualValues(t, 2, c.View().Generation())
	require.Zero(t, c.View().Len())
}
