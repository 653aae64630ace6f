package cache_test

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/cache"
)

func pull(changes iter.Seq2[cache.Change, error]) (next func() (cache.Change, error, bool), stop func()) {
	return iter.Pull2(changes)
}

// A subscriber that keeps up sees every change, in order.
func TestSubscribe(t *testing.T) {
	onStores(t, func(t *testing.T, kv kvdb.Kvdb) {
		put(t, kv, "before", "1")
		c := newCache(t, kv, "", cache.Options{})
		v, changes := c.Subscribe(t.Context())
		require.Equal(t, map[string]string{"before": "1"}, content(v))
		next, stop := pull(changes)
		defer stop()
		for _, step := range []struct {
			index uint64
			want  string
		}{
			{put(t, kv, "a", "1"), "a - 1"}, {put(t, kv, "b", "1"), "b - 1"},
		} {
			change, err, _ := next()
			require.NoError(t, err)
			require.Equal(t, step.want, text(change))
			require.Equal(t, step.index, change.Index)
			require.EqualValues(t, 1, change.Generation)
		}
		index := put(t, kv, "a", "2")
		require.Equal(t, []string{"a 1 2"}, told(t, next, 1))
		waitFor(t, c, index)
		index = remove(t, kv, "a")
		change, err, _ := next()
		require.NoError(t, err)
		require.Equal(t, "a 2 -", text(change))
		require.Equal(t, index, change.Index)
	})
}

// Changes that wait are folded, and keep the order of their latest indexes.
func TestSlowSubscriber(t *testing.T) {
	kv := newMem(t)
	for _, key := range []string{"a", "b", "c"} {
		put(t, kv, key, "0")
	}
	c := newCache(t, kv, "", cache.Options{})
	_, changes := c.Subscribe(t.Context())
	next, stop := pull(changes)
	defer stop()
	for i := range 1000 {
		put(t, kv, "a", strconv.Itoa(i))
		put(t, kv, "short", strconv.Itoa(i))
		remove(t, kv, "short")
	}
	put(t, kv, "new", "1")
	remove(t, kv, "b")
	put(t, kv, "b", "1")
	put(t, kv, "a", "end")
	waitFor(t, c, remove(t, kv, "c"))
	require.Equal(t, []string{"new - 1", "b 0 1", "a 0 end", "c 0 -"}, told(t, next, 4))
}

// The state and the changes give the states of the store, however the subscriber and the
// writers take turns.
func TestSubscribersCatchUp(t *testing.T) {
	kv := newMem(t)
	c := newCache(t, kv, "", cache.Options{})
	done := make(chan map[string]string)
	const subscribers = 4
	for i := range subscribers {
		v, changes := c.Subscribe(t.Context())
		go func() {
			state := content(v)
			defer func() { done <- state }()
			last := uint64(0)
			for change, err := range changes {
				if err != nil || change.Index < last {
					t.Error(err, change.Index, last)
					return
				}
				last = change.Index
				if change.Old != nil && state[change.Old.Key] != string(change.Old.Value) {
					t.Errorf("%s is %q, and the old value is %q", change.Old.Key, state[change.Old.Key], change.Old.Value)
				}
				if change.New == nil {
					delete(state, change.Old.Key)
					continue
				}
				state[change.New.Key] = string(change.New.Value)
				if change.New.Key == "end" {
					return
				}
				for range i * 1000 { // slower
					_ = c.Index()
				}
			}
		}()
	}
	for i := range 3000 {
		key := strconv.Itoa(rand.IntN(20))
		if _, err := kv.Delete(key); err != nil || i%2 == 0 {
			put(t, kv, key, strconv.Itoa(i))
		}
	}
	waitFor(t, c, put(t, kv, "end", ""))
	for range subscribers {
		require.Equal(t, content(c.View()), <-done)
	}
}

// A subscription ends with its context, with its loop and with the cache.
func TestSubscriptionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t)
		c := newCache(t, kv, "", cache.Options{})
		cause := errors.New("cause")
		ctx, cancel := context.WithCancelCause(t.Context())
		_, changes := c.Subscribe(ctx)
		ended := make(chan error, 1)
		go func() {
			for _, err := range changes {
				ended <- err
			}
		}()
		synctest.Wait()
		require.Empty(t, ended)
		cancel(cause)
		require.Equal(t, cause, <-ended)

		_, abandoned := c.Subscribe(ctx)
		synctest.Wait()
		require.Zero(t, cache.Subscriptions(c))
		for _, err := range abandoned {
			require.Equal(t, cause, err)
		}
		_, left := c.Subscribe(t.Context())
		put(t, kv, "key", "value")
		for range left {
			require.Equal(t, 1, cache.Subscriptions(c))
			break
		}
		require.Zero(t, cache.Subscriptions(c))
		c.Close()
	})
}
