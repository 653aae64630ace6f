package kvdb_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

func TestWithContext(t *testing.T) {
	kv := newMem(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	view := kvdb.WithContext(ctx, kv)
	put(t, view, "a")
	pair, err := kv.Get("a")
	require.NoError(t, err)
	require.Equal(t, "a", string(pair.Value), "a view shares the store")

	cancel()
	_, err = view.Get("a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = view.Put("b", "", 0)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, view.WatchKey("a", 0, nil, nothing), context.Canceled)
	_, err = view.Lock("a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = view.TxNew()
	require.ErrorIs(t, err, context.Canceled)

	_, err = kv.Get("b")
	require.Equal(t, kvdb.ErrNotFound, err, "nothing was written, and the instance still works")
}

func nothing(string, interface{}, *kvdb.KVPair, error) error { return nil }

func TestWithContextOfView(t *testing.T) {
	kv := newMem(t, nil)
	for _, endInner := range []bool{true, false} {
		outer, cancelOuter := context.WithCancel(t.Context())
		inner, cancelInner := context.WithCancel(t.Context())
		view := kvdb.WithContext(inner, kvdb.WithContext(outer, kv))
		put(t, view, "a")
		if endInner {
			cancelInner()
		} else {
			cancelOuter()
		}
		_, err := view.Get("a")
		require.ErrorIs(t, err, context.Canceled)
		cancelOuter()
		cancelInner()
	}
}

// watchedContext counts the functions registered for its end.
type watchedContext struct {
	context.Context
	done    chan struct{} // never closed
	waiting int
}

func (c *watchedContext) Done() <-chan struct{} { return c.done }

func (c *watchedContext) AfterFunc(func()) func() bool {
	c.waiting++
	return func() bool { c.waiting--; return true }
}

// A view needs no Close, because its contexts keep no reference to it.
func TestWithContextKeepsNoReference(t *testing.T) {
	kv := newMem(t, nil)
	outer := &watchedContext{Context: context.Background(), done: make(chan struct{})}
	inner := &watchedContext{Context: context.Background(), done: make(chan struct{})}
	view := kvdb.WithContext(outer, kv)
	for range 10 {
		put(t, kvdb.WithContext(inner, view), "a")
	}
	require.Zero(t, outer.waiting)
	require.Zero(t, inner.waiting)
}

// A wait for a lock ends with the context; a lock that was obtained does not.
func TestWithContextLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		view := kvdb.WithContext(ctx, kv)
		held, err := view.Lock("held")
		require.NoError(t, err)

		start := time.Now()
		_, err = view.Lock("held")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))

		locked, _, err := kv.IsKeyLocked("held")
		require.NoError(t, err)
		require.True(t, locked)
		require.NoError(t, kv.Unlock(held))
	})
}

func TestWithContextWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ends := make(chan error, 2)
		watch := func(kv kvdb.Kvdb) {
			require.NoError(t, kv.WatchTree("", 0, nil, func(_ string, _ interface{}, _ *kvdb.KVPair, err error) error {
				if err != nil {
					ends <- err
				}
				return err
			}))
		}
		watch(kvdb.WithContext(ctx, kv))
		watch(kv)
		put(t, kv, "a")
		synctest.Wait()
		require.Empty(t, ends)
		cancel()
		require.Equal(t, kvdb.ErrWatchStopped, <-ends)
		synctest.Wait()
		require.Empty(t, ends, "the other watch continues")
	})
}

// Closing a view closes the instance, for all views.
func TestCloseOfView(t *testing.T) {
	kv := newMem(t, nil)
	lock, err := kv.Lock("a")
	require.NoError(t, err)
	require.NoError(t, kvdb.Close(kvdb.WithContext(t.Context(), kv)))
	_, err = kv.Get("a")
	require.Equal(t, kvdb.ErrClosed, err)
	<-lock.Lock.(kvdb.HeldLock).Lost()
	require.NoError(t, kvdb.Close(kv))
}

func TestWithContextNotSupported(t *testing.T) {
	kv := &bare{}
	require.Same(t, kv, kvdb.WithContext(t.Context(), kv))
}
