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
	"github.com/portworx/kvdb/driver"
)

// A call gets the store's time limit, except Lock and Watch, which have their own.
func TestTimeLimitOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{profile: driver.Profile{OpTimeout: 10 * time.Second}}
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
		require.ErrorIs(t, err, driver.ErrTimeLimit)
		require.Equal(t, 10*time.Second, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		_, err = kv.BindContext(ctx).Get("key")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began), "the call ends with the view's context")

		_, err = kv.Lock("lock")
		require.NoError(t, err)
		go func() { time.Sleep(time.Second); require.NoError(t, kv.Close()) }()
		began = time.Now()
		_, err = kv.Get("key")
		require.ErrorIs(t, err, kvdb.ErrClosed)
		require.Equal(t, time.Second, time.Since(began), "the call ends with the instance")
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
		require.Equal(t, callbackTimeout, time.Since(began))
		require.Equal(t, 1, f.closed)
		require.NoError(t, kv.Close())
		require.Equal(t, 1, f.closed)
		close(release)
		synctest.Wait()
		require.Equal(t, []error{kvdb.ErrWatchStopped}, ends, "the second event is not delivered")
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

// The error of a stream ends its watch with one of the two errors for watches.
func TestStreamThatBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := &fakeStream{events: make(chan []*kvdb.KVPair)}
		f := &fake{}
		f.watch = func(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
			require.NotNil(t, r.Observer)
			r.Observer = nil
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
		require.Error(t, stream.ctx.Err(), "the context of the stream has ended")
		require.NoError(t, kv.Close())

		f.watch = func(context.Context, driver.WatchRequest) (driver.Stream, error) { return nil, errors.New("no") }
		err := open(t, f, nil).WatchKey("key", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error { return nil })
		require.EqualError(t, err, "no")
	})
}

// A key or value that the store cannot hold is never sent to it.
func TestRefusedKeys(t *testing.T) {
	f := &fake{profile: driver.Profile{MaxKey: 20, CheckKey: func(key string) (string, error) {
		if strings.Contains(key, "?") {
			return "", errors.New("a question")
		}
		return key, nil
	}}}
	kv := open(t, f, nil)
	for key, reason := range map[string]string{
		"":                      "empty",
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
	f := &fake{profile: driver.Profile{CheckPrefix: func(string) (string, error) { return "", errors.New("not here") }}}
	_, err := New(Config{Name: "fake", Domain: "domain", Store: f})
	require.ErrorIs(t, err, kvdb.ErrIllegal)
	require.ErrorContains(t, err, "not here")
	require.Equal(t, 1, f.closed)
}

// counted is a context that counts the functions registered for its end.
type counted struct {
	context.Context
	done    chan struct{} // never closed
	waiting int
}

func newCounted() *counted { return &counted{Context: context.Background(), done: make(chan struct{})} }

func (c *counted) Done() <-chan struct{} { return c.done }

// AfterFunc is called by package context.
func (c *counted) AfterFunc(func()) func() bool {
	c.waiting++
	stopped := false
	return func() bool {
		if !stopped {
			stopped = true
			c.waiting--
		}
		return true
	}
}

// After a call through a view no function is registered with the view's contexts.
func TestCallsLeaveNoFunctions(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Minute} {
		f := &fake{profile: driver.Profile{OpTimeout: limit}}
		kv := open(t, f, nil)
		life, outer, inner := newCounted(), newCounted(), newCounted()
		kv.lifetime, kv.ctx = life, life
		bound := kv.BindContext(outer).(*view).BindContext(inner)
		f.get = func(context.Context, string) (*kvdb.KVPair, error) {
			for _, ctx := range []*counted{life, outer, inner} {
				require.Equal(t, 1, ctx.waiting)
			}
			return nil, kvdb.ErrNotFound
		}
		_, err := bound.Get("key")
		require.Equal(t, kvdb.ErrNotFound, err)
		for _, ctx := range []*counted{life, outer, inner} {
			require.Zero(t, ctx.waiting)
		}
	}
}

// listing is a fake store that returns pages.
type listing struct {
	*fake
	asked []driver.ListOptions
}

func (l *listing) List(_ context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	l.asked = append(l.asked, o)
	pages := []driver.Page{
		{Pairs: kvdb.KVPairs{{Key: prefix + "a"}, {Key: prefix + "b"}}, Index: 7, More: true},
		{Pairs: kvdb.KVPairs{{Key: prefix + "c"}}, Index: 9},
	}
	return pages[len(l.asked)-1], nil
}

// A store that can read at a past index is asked for the index of the first page.
func TestPagesOfOneMoment(t *testing.T) {
	store := &listing{fake: &fake{}}
	kv := open(t, store, nil)
	var keys []string
	for pair, err := range kv.EnumeratePages("", 2) {
		require.NoError(t, err)
		keys = append(keys, pair.Key)
	}
	require.Equal(t, []string{"a", "b", "c"}, keys)
	require.Equal(t, []driver.ListOptions{{Limit: 2}, {Limit: 2, At: 7, From: "domain/b\x00"}}, store.asked)
	require.NoError(t, kv.Close())
}

// The store is asked for what the options say, and the loop may change the pairs that it gets.
func TestPageOptions(t *testing.T) {
	store := &listing{fake: &fake{}}
	kv := open(t, store, nil)
	for pair, err := range kv.EnumeratePagesWith("", kvdb.PageOptions{KeysOnly: true, TTL: true, From: "a", Size: 2}) {
		require.NoError(t, err)
		*pair = kvdb.KVPair{}
	}
	require.Equal(t, []driver.ListOptions{
		{Limit: 2, KeysOnly: true, TTL: true, From: "domain/a"},
		{Limit: 2, KeysOnly: true, TTL: true, From: "domain/b\x00", At: 7},
	}, store.asked)

	// No key with the prefix sorts after this one, so the store is not asked.
	for range kv.EnumeratePagesWith("b", kvdb.PageOptions{From: "c"}) {
		require.Fail(t, "there must be no pair")
	}
	require.Len(t, store.asked, 2)
	require.NoError(t, kv.Close())
	for _, err := range kv.EnumeratePagesWith("b", kvdb.PageOptions{From: "c"}) {
		require.Equal(t, kvdb.ErrClosed, err)
	}
}

// bounds is a fake store that notes which lists have a time limit.
type bounds struct {
	*fake
	bounded []bool
}

func (b *bounds) List(ctx context.Context, _ string, _ driver.ListOptions) (driver.Page, error) {
	_, has := ctx.Deadline()
	b.bounded = append(b.bounded, has)
	return driver.Page{}, nil
}

// The time limit of a call bounds lists, but not the TTLs of a store that needs a time that
// depends on their number.
func TestSlowTTL(t *testing.T) {
	for slow, want := range map[bool][]bool{false: {true, true, true}, true: {true, false, false}} {
		store := &bounds{fake: &fake{profile: driver.Profile{OpTimeout: time.Hour, SlowTTL: slow}}}
		kv := open(t, store, nil)
		_, err := kv.Enumerate("")
		require.NoError(t, err)
		_, err = kv.Serialize()
		require.NoError(t, err)
		for _, err := range kv.EnumeratePagesWith("", kvdb.PageOptions{TTL: true}) {
			require.NoError(t, err)
		}
		require.Equal(t, want, store.bounded)
		require.NoError(t, kv.Close())
	}
}

// A store that is not a driver.TTLReader does not know remaining TTLs.
func TestTTLOfNotSupported(t *testing.T) {
	kv := open(t, &fake{}, nil)
	_, _, err := kv.TTLOf("key")
	require.Equal(t, kvdb.ErrNotSupported, err)
	require.NoError(t, kv.Close())
}

// A watch that starts while Close runs fails, and its stream is closed.
func TestWatchDuringClose(t *testing.T) {
	stream := &fakeStream{}
	f := &fake{}
	kv := open(t, f, nil)
	f.watch = func(ctx context.Context, _ driver.WatchRequest) (driver.Stream, error) {
		stream.ctx = ctx
		return stream, kv.Close()
	}
	err := kv.WatchKey("key", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error { return nil })
	require.Equal(t, kvdb.ErrClosed, err)
	require.Equal(t, 1, stream.closed)
	require.Error(t, stream.ctx.Err())
}

// Indexes that no pair can have are passed to the store as NoIndex, which fits a signed
// integer.
func TestImpossibleIndexes(t *testing.T) {
	f := &fake{}
	kv := open(t, f, nil)
	f.put = func(_ context.Context, w driver.Write) (driver.Indexes, error) {
		require.EqualValues(t, driver.NoIndex, w.Cond.Modified)
		require.EqualValues(t, driver.NoIndex, w.Cond.Created)
		return driver.Indexes{}, kvdb.ErrModified
	}
	for _, index := range []uint64{driver.NoIndex, driver.NoIndex + 1, 1<<64 - 1} {
		pair := &kvdb.KVPair{Key: "key", ModifiedIndex: index, CreatedIndex: index}
		_, err := kv.CompareAndSet(pair, kvdb.KVModifiedIndex|kvdb.KVCreatedIndex, nil)
		require.Equal(t, kvdb.ErrModified, err)
	}
	require.NoError(t, kv.Close())
}

// A page size of 0 or less means the default.
func TestDefaultPageSize(t *testing.T) {
	for _, size := range []int{0, -1} {
		store := &listing{fake: &fake{}}
		kv := open(t, store, nil)
		for _, err := range kv.EnumeratePages("", size) {
			require.NoError(t, err)
		}
		require.Equal(t, kvdb.DefaultPageSize, store.asked[0].Limit)
		require.NoError(t, kv.Close())
	}
}

// administered is a fake store that records the changes of access.
type administered struct {
	*fake
	driver.UserAdmin
	granted, revoked []string
}

func (a *administered) GrantAccess(_ context.Context, user string, _ kvdb.PermissionType, subtree string) error {
	a.granted = append(a.granted, user+" "+subtree)
	return nil
}

func (a *administered) RevokeAccess(_ context.Context, user string, _ kvdb.PermissionType, subtree string) error {
	a.revoked = append(a.revoked, user+" "+subtree)
	return nil
}

// Access is granted and revoked for keys that include the domain.
func TestAccessIncludesDomain(t *testing.T) {
	store := &administered{fake: &fake{}}
	kv := open(t, store, nil)
	require.NoError(t, kv.GrantUserAccess("user", kvdb.ReadPermission, "tree"))
	require.NoError(t, kv.RevokeUsersAccess("user", kvdb.ReadPermission, "tree"))
	require.Equal(t, []string{"user domain/tree"}, store.granted)
	require.Equal(t, store.granted, store.revoked)
	require.Equal(t, kvdb.ErrUnknownPermission, kv.GrantUserAccess("user", 99, "tree"))
	require.Equal(t, kvdb.ErrUnknownPermission, kv.RevokeUsersAccess("user", 99, "tree"))
	require.NoError(t, kv.Close())
}

// Only a TTL that overflows time.Duration is refused.
func TestTTLOverflow(t *testing.T) {
	kv := open(t, &fake{}, nil)
	for _, ttl := range []uint64{1<<63/1_000_000_000 + 1, 1 << 55, 1<<64 - 1} {
		_, err := kv.Put("key", "", ttl)
		require.Equal(t, kvdb.ErrTTLNotSupported, err)
	}
	require.NoError(t, kv.Close())
}
