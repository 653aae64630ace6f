package engine

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
)

// A call gets the store's time limit; a lock and a watch limit themselves.
func TestTimeLimitOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{limits: driver.Limits{OpTimeout: 10 * time.Second}}
		f.get = func(ctx context.Context, _ string) (*kvdb.KVPair, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		f.lock = func(ctx context.Context, _, _ string, _ time.Duration) (driver.Lease, error) {
			_, limited := ctx.Deadline()
			require.False(t, limited)
			return newFakeLease(), nil
		}
		kv := open(t, f, nil)
		began := time.Now()
		_, err := kv.Get("key")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		_, err = kv.BindContext(ctx).Get("key")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began), "the view's limit")

		_, err = kv.Lock("lock")
		require.NoError(t, err)
		go func() { time.Sleep(time.Second); require.NoError(t, kv.Close()) }()
		began = time.Now()
		_, err = kv.Get("key")
		require.ErrorIs(t, err, kvdb.ErrClosed)
		require.Equal(t, time.Second, time.Since(began), "the instance's life")
	})
}

// Close ends the watches, then closes the store, once. A callback that does not
// return is reported.
func TestCloseWaitsForCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := &fakeStream{events: make(chan []*kvdb.KVPair, 1)}
		f := &fake{}
		f.watch = func(ctx context.Context, _ driver.WatchRequest) (driver.Stream, error) {
			stream.ctx = ctx
			return stream, nil
		}
		kv := open(t, f, nil)
		running, release := make(chan struct{}), make(chan struct{})
		var ends []error
		require.NoError(t, kv.WatchKey("key", 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
			if err != nil {
				ends = append(ends, err)
				return nil
			}
			close(running)
			<-release
			return nil
		}))
		stream.events <- []*kvdb.KVPair{{Key: "domain/key"}, {Key: "domain/key"}}
		<-running
		began := time.Now()
		err := kv.Close()
		require.ErrorContains(t, err, "callback")
		require.Equal(t, closeTimeout, time.Since(began))
		require.Equal(t, 1, f.closed)
		require.NoError(t, kv.Close())
		require.Equal(t, 1, f.closed)
		close(release)
		synctest.Wait()
		require.Equal(t, []error{kvdb.ErrWatchStopped}, ends, "and the second event is not delivered")
		require.Equal(t, 1, stream.closed)
	})
}

// A callback that ends its goroutine ends the watch.
func TestWatchWhoseCallbackExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stream *fakeStream
		f := &fake{watch: func(ctx context.Context, _ driver.WatchRequest) (driver.Stream, error) {
			stream = &fakeStream{ctx: ctx, events: make(chan []*kvdb.KVPair, 1)}
			return stream, nil
		}}
		kv := open(t, f, nil)
		require.NoError(t, kv.WatchKey("key", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error {
			runtime.Goexit()
			return nil
		}))
		stream.events <- []*kvdb.KVPair{{Key: "domain/key"}}
		synctest.Wait()
		require.Equal(t, 1, stream.closed)
		require.Error(t, stream.ctx.Err())
		require.NoError(t, kv.Close())
	})
}

// A stream that breaks ends its watch, in the words that programs know.
func TestStreamThatBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := &fakeStream{events: make(chan []*kvdb.KVPair)}
		f := &fake{}
		f.watch = func(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
			require.Equal(t, driver.WatchRequest{Key: "domain/pre", Prefix: true, After: 3}, r)
			stream.ctx = ctx
			return stream, nil
		}
		kv := open(t, f, nil)
		var calls []error
		require.NoError(t, kv.WatchTree("pre", 3, nil, func(prefix string, _ interface{}, _ *kvdb.KVPair, err error) error {
			require.Equal(t, "domain/pre", prefix)
			calls = append(calls, err)
			return nil
		}))
		close(stream.events)
		synctest.Wait()
		require.Equal(t, []error{kvdb.ErrWatchStopped}, calls)
		require.Equal(t, 1, stream.closed)
		require.Error(t, stream.ctx.Err(), "what the watch held is released")
		require.NoError(t, kv.Close())

		f.watch = func(context.Context, driver.WatchRequest) (driver.Stream, error) { return nil, errors.New("no") }
		err := open(t, f, nil).WatchKey("key", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error { return nil })
		require.EqualError(t, err, "no")
	})
}

// What the store cannot hold never reaches it.
func TestRefusedKeys(t *testing.T) {
	f := &fake{limits: driver.Limits{MaxKey: 20, CheckKey: func(key string) (string, error) {
		if strings.Contains(key, "?") {
			return "", errors.New("a question")
		}
		return key, nil
	}}}
	kv := open(t, f, nil)
	for key, reason := range map[string]string{
		"":                      "empty",
		"\xff\xfe":              "UTF-8",
		"what?":                 "a question",
		strings.Repeat("k", 14): "21 bytes",
	} {
		_, err := kv.Get(key)
		require.ErrorIs(t, err, kvdb.ErrIllegal)
		require.ErrorContains(t, err, reason)
		_, err = kv.Put(key, "value", 0)
		require.ErrorIs(t, err, kvdb.ErrIllegal)
	}
	f.get = func(_ context.Context, key string) (*kvdb.KVPair, error) {
		require.Equal(t, "domain/"+strings.Repeat("k", 13), key)
		return nil, kvdb.ErrNotFound
	}
	_, err := kv.Get(strings.Repeat("k", 13))
	require.Equal(t, kvdb.ErrNotFound, err)
	require.NoError(t, kv.Close())
}

func TestRefusedDomain(t *testing.T) {
	f := &fake{limits: driver.Limits{CheckPrefix: func(string) (string, error) { return "", errors.New("not here") }}}
	_, err := New(Config{Name: "fake", Domain: "domain", Store: f})
	require.ErrorIs(t, err, kvdb.ErrIllegal)
	require.ErrorContains(t, err, "not here")
	require.Equal(t, 1, f.closed)
}

// A transaction's size is the sum of its keys and values.
func TestTransactionTooLarge(t *testing.T) {
	kv := open(t, &fake{limits: driver.Limits{MaxTxBytes: 20}}, nil)
	tx, err := kv.TxNew()
	require.NoError(t, err)
	_, err = tx.Put("k", "123456789012", 0) // "domain/k" has 8 bytes
	require.NoError(t, err)
	require.NoError(t, tx.Prepare())
	_, err = tx.Put("k", "1234567890123", 0)
	require.NoError(t, err)
	for _, err := range []error{tx.Prepare(), tx.Commit()} {
		require.ErrorIs(t, err, kvdb.ErrTooLarge)
		require.ErrorContains(t, err, "21")
		require.ErrorContains(t, err, "20")
	}
	require.NoError(t, kv.Close())
}
