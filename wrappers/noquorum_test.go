package wrappers

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/mock/ubermock"
)

// passedOn has the operations that work without a quorum; all others return
// kvdb.ErrNoQuorum.
var passedOn = map[string]bool{
	"String": true, "Capabilities": true, "Unlock": true, "UpdateMember": true, "ListMembers": true,
	"SetEndpoints": true, "GetEndpoints": true, "Defragment": true, "SetFatalCb": true,
	"SetLockHoldDuration": true, "GetLockTryDuration": true, "GetLockHoldDuration": true,
	"WatchKey": true, "WatchTree": true,
}

func noQuorum(t *testing.T, kv kvdb.Kvdb) kvdb.Kvdb {
	w, err := NewNoKvdbQuorumWrapper(kv, nil)
	require.NoError(t, err)
	require.Equal(t, kvdb.Wrapper_NoQuorum, w.WrapperName())
	require.Same(t, kv, w.WrappedKvdb())
	return w
}

func TestNoQuorum(t *testing.T) {
	for name, method := range operations() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := ubermock.NewMockKvdb(gomock.NewController(t))
				kv := noQuorum(t, store)
				args := arguments(name, method)
				if passedOn[name] {
					want := expect(store, name, method, args, nil)
					require.Equal(t, want, call(kv, name, args))
					return
				}
				results := call(kv, name, args)
				last := len(results) - 1
				require.Equal(t, kvdb.ErrNoQuorum, results[last])
				for _, result := range results[:last] {
					require.True(t, result == nil || reflect.ValueOf(result).IsZero())
				}
			})
		})
	}
}

func TestNoQuorumPages(t *testing.T) {
	kv := noQuorum(t, openMem(t, nil))
	calls := 0
	for _, pairs := range []iter.Seq2[*kvdb.KVPair, error]{
		kv.(kvdb.Pager).EnumeratePages("", 1), kvdb.Pairs(kv, ""), kvdb.PairsWith(kv, "", kvdb.PageOptions{Hidden: true}),
	} {
		for pair, err := range pairs {
			require.Nil(t, pair)
			require.Equal(t, kvdb.ErrNoQuorum, err)
			calls++
		}
	}
	require.Equal(t, 3, calls)
}

func TestNoQuorumTTLOf(t *testing.T) {
	_, _, err := kvdb.TTLOf(noQuorum(t, openMem(t, nil)), "key")
	require.Equal(t, kvdb.ErrNoQuorum, err)
}

// A watch is registered 20 to 40 s after the call, with a random delay.
func TestNoQuorumWatchDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := noQuorum(t, openMem(t, nil))
		delays := map[time.Duration]bool{}
		for range 50 {
			start := time.Now()
			require.NoError(t, kv.WatchTree("", 0, nil, ignore))
			delay := time.Since(start)
			require.GreaterOrEqual(t, delay, 20*time.Second)
			require.LessOrEqual(t, delay, 40*time.Second)
			delays[delay] = true
		}
		require.Greater(t, len(delays), 25)
		require.NoError(t, kvdb.Close(kv))
	})
}

func ignore(string, interface{}, *kvdb.KVPair, error) error { return nil }

// watchLater starts a watch on kv and returns a channel that receives the error of the
// call.
func watchLater(kv kvdb.Kvdb) <-chan error {
	done := make(chan error, 1)
	go func() { done <- kv.WatchKey("a", 0, nil, ignore) }()
	return done
}

func TestNoQuorumDelayObeysContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := noQuorum(t, openMem(t, nil))
		outer, cancelOuter := context.WithCancel(t.Context())
		inner, cancelInner := context.WithCancel(t.Context())
		view := kvdb.WithContext(outer, kv)
		require.Equal(t, kvdb.Wrapper_NoQuorum, view.WrapperName())
		both := kvdb.WithContext(inner, view)

		start := time.Now()
		first, second, third := watchLater(both), watchLater(view), watchLater(kv)
		time.Sleep(time.Second)
		cancelInner()
		require.ErrorIs(t, <-first, context.Canceled)
		synctest.Wait()
		require.Empty(t, second)
		cancelOuter()
		require.ErrorIs(t, <-second, context.Canceled)
		require.ErrorIs(t, both.WatchTree("", 0, nil, ignore), context.Canceled)
		require.ErrorIs(t, kvdb.WatchBatches(both, "", 0, func(kvdb.KVPairs, error) error { return nil }), context.Canceled)
		require.Equal(t, time.Second, time.Since(start), "a call waited")
		require.NoError(t, <-third, "the third watch obeys neither context")
		require.NoError(t, kvdb.Close(kv))
	})
}

// A view of a view also obeys the outer context. No view obeys the context of a sibling.
func TestNoQuorumDelayOfViewsOfViews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := ubermock.NewMockKvdb(gomock.NewController(t)) // a store that does not obey contexts
		store.EXPECT().WatchKey(gomock.Any(), gomock.Any(), gomock.Any(), gomock.Any()).Return(nil)
		view, cancels := noQuorum(t, store), []context.CancelFunc{}
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			view, cancels = kvdb.WithContext(ctx, view), append(cancels, cancel)
		}
		first, cancelFirst := context.WithCancel(t.Context())
		second, cancelSecond := context.WithCancel(t.Context())
		defer cancelSecond()
		a, b := kvdb.WithContext(first, view), kvdb.WithContext(second, view)
		start := time.Now()
		waiting, sibling := watchLater(a), watchLater(b)
		synctest.Wait()
		cancelFirst()
		require.ErrorIs(t, <-waiting, context.Canceled)
		require.Zero(t, time.Since(start))
		require.NoError(t, <-sibling)
		for _, cancel := range cancels {
			start, waiting = time.Now(), watchLater(b)
			synctest.Wait()
			cancel()
			require.ErrorIs(t, <-waiting, context.Canceled)
			require.Zero(t, time.Since(start))
		}

		ends, cancel := context.WithTimeoutCause(t.Context(), time.Second, errMocked)
		defer cancel()
		err := <-watchLater(kvdb.WithContext(second, kvdb.WithContext(ends, noQuorum(t, store))))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errMocked)
		require.NotErrorIs(t, err, context.Canceled)
	})
}

// Calls that are passed on obey the view's context too.
func TestNoQuorumContext(t *testing.T) {
	kv := noQuorum(t, openMem(t, nil))
	lock, err := kv.WrappedKvdb().Lock("a")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, kvdb.WithContext(ctx, kv).Unlock(lock), context.Canceled)
	require.NoError(t, kv.Unlock(lock))
}

func TestNoQuorumDelayObeysClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openMem(t, nil)
		kv := noQuorum(t, store)
		waiting := watchLater(kvdb.WithContext(t.Context(), kv))
		synctest.Wait()
		start := time.Now()
		require.NoError(t, kvdb.Close(kv))
		require.Equal(t, kvdb.ErrClosed, <-waiting)
		require.Equal(t, kvdb.ErrClosed, kv.WatchTree("", 0, nil, ignore))
		require.Zero(t, time.Since(start))
		_, err := store.Get("a")
		require.Equal(t, kvdb.ErrClosed, err, "the store is closed too")
		require.NoError(t, kvdb.Close(kv))
	})
}

// The lock settings and Unlock reach the store, so a lock can be released.
func TestNoQuorumUnlock(t *testing.T) {
	store := openMem(t, nil)
	lock, err := store.Lock("a")
	require.NoError(t, err)
	kv := noQuorum(t, store)
	require.NoError(t, kv.Unlock(lock))
	held, _, err := store.IsKeyLocked("a")
	require.NoError(t, err)
	require.False(t, held)
}

func TestStack(t *testing.T) {
	kv, err := kvdb.New(mem.Name, "domain", nil, map[string]string{
		kvdb.WrappersOption: "Wrapper_Log,Wrapper_NoQuorum",
		kvdb.LogPathOption:  t.TempDir() + "/log",
	}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	require.Equal(t, kvdb.Wrapper_Log, kv.WrapperName())
	require.Equal(t, kvdb.Wrapper_NoQuorum, kv.WrappedKvdb().WrapperName())
	_, err = kv.Put("a", "", 0)
	require.Equal(t, kvdb.ErrNoQuorum, err)

	kv, err = kvdb.RemoveWrapper(kvdb.Wrapper_NoQuorum, kv)
	require.NoError(t, err)
	_, err = kv.Put("a", "", 0)
	require.NoError(t, err)
	again, err := kvdb.AddWrapper(kvdb.Wrapper_Log, kv, nil)
	require.ErrorIs(t, err, kvdb.ErrExist)
	require.Same(t, kv, again)
}

func TestRegisteredTwice(t *testing.T) {
	require.PanicsWithValue(t, "kvdb wrapper Wrapper_Log: Key already exists", func() {
		register(kvdb.Wrapper_Log, NewLogWrapper)
	})
}

func TestVersion(t *testing.T) {
	version, err := Version("", nil)
	require.True(t, errors.Is(err, kvdb.ErrNotSupported))
	require.Empty(t, version)
}
