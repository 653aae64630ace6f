package cache_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cache"
)

// counted counts how often it is decoded.
type counted struct{ Text string }

var decodes atomic.Int64

func (c *counted) UnmarshalJSON(data []byte) error {
	decodes.Add(1)
	c.Text = string(data)
	return nil
}

// A value is decoded once for each change, also when the watch ends.
func TestOfDecodesOnce(t *testing.T) {
	kv := newMem(t)
	b := newBreakable(kv)
	put(t, kv, "a", "1")
	put(t, kv, "b", "1")
	before := decodes.Load()
	c, err := cache.NewOf[counted](t.Context(), b, "", cache.Options{})
	require.NoError(t, err)
	defer c.Close()
	for range 10 {
		value, pair, err := c.Get("a")
		require.NoError(t, err)
		require.Equal(t, "1", value.Text)
		require.Equal(t, "a", pair.Key)
		for typed, err := range c.Range("") {
			require.NoError(t, err)
			require.Equal(t, string(typed.Pair.Value), typed.Value.Text)
		}
	}
	require.EqualValues(t, 2, decodes.Load()-before)
	waitFor(t, c.Cache, put(t, kv, "a", "2"))
	b.endWatches(kvdb.ErrWatchRevisionCompacted)
	waitFor(t, c.Cache, put(t, kv, "c", "1"))
	require.EqualValues(t, 4, decodes.Load()-before)
}

// The events from before the snapshot, which the watch delivers too, are not applied.
func TestEarlierEventsAreSkipped(t *testing.T) {
	kv := newMem(t)
	for range 10 {
		put(t, kv, "short", "1")
		remove(t, kv, "short")
	}
	put(t, kv, "key", "1")
	before := decodes.Load()
	c, err := cache.NewOf[counted](t.Context(), kv, "", cache.Options{})
	require.NoError(t, err)
	defer c.Close()
	waitFor(t, c.Cache, put(t, kv, "key", "2"))
	require.EqualValues(t, 2, decodes.Load()-before)
}

func TestOf(t *testing.T) {
	kv := newMem(t)
	put(t, kv, "a", `{"Size":1}`)
	put(t, kv, "b", `no JSON`)
	put(t, kv, "c", `{"Size":3}`)
	type volume struct{ Size int }
	c, err := cache.NewOf[volume](t.Context(), kv, "", cache.Options{})
	require.NoError(t, err)
	defer c.Close()

	_, pair, err := c.Get("missing")
	require.Equal(t, kvdb.ErrNotFound, err)
	require.Nil(t, pair)
	value, pair, err := c.Get("b")
	require.ErrorIs(t, err, kvdb.ErrUnmarshal)
	require.ErrorContains(t, err, `"b"`)
	require.Equal(t, "no JSON", string(pair.Value))
	require.Zero(t, value)
	var sizes []int
	for typed, err := range c.Range("") {
		require.Equal(t, typed.Pair.Key == "b", err != nil)
		sizes = append(sizes, typed.Value.Size)
	}
	require.Equal(t, []int{1, 0, 3}, sizes)
	for range c.View().Range("c") {
		break
	}

	v, changes := c.Subscribe(t.Context())
	require.Equal(t, 3, v.Len())
	put(t, kv, "a", `{"Size":2}`)
	for change, err := range changes {
		require.NoError(t, err)
		require.NoError(t, change.Err)
		require.Equal(t, 1, change.OldValue.Size)
		require.Equal(t, 2, change.NewValue.Size)
		break
	}
	_, changes = c.Subscribe(t.Context())
	put(t, kv, "c", `no JSON`)
	for change, err := range changes {
		require.NoError(t, err)
		require.ErrorIs(t, change.Err, kvdb.ErrUnmarshal)
		require.Equal(t, 3, change.OldValue.Size)
		require.Zero(t, change.NewValue)
		break
	}
	_, changes = c.Subscribe(t.Context())
	remove(t, kv, "a")
	for change, err := range changes {
		require.NoError(t, err)
		require.NoError(t, change.Err)
		require.Nil(t, change.New)
		require.Equal(t, 2, change.OldValue.Size)
		break
	}
}
