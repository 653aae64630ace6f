package kvdb_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/mock/ubermock"
)

// keysOf ranges over pairs and returns the keys before the error that ended it.
func keysOf(pairs iter.Seq2[*kvdb.KVPair, error]) (keys []string, end error) {
	keys = []string{}
	for pair, err := range pairs {
		if err != nil {
			end = err
			continue // the loop must end after an error
		}
		keys = append(keys, pair.Key)
	}
	return keys, end
}

func TestPairs(t *testing.T) {
	kv := newMem(t, nil)
	want := []string{}
	for i := range kvdb.DefaultPageSize + 1 {
		key := fmt.Sprintf("a/%05d", i)
		put(t, kv, key)
		want = append(want, key)
	}
	put(t, kv, "a/_hidden", "b")
	keys, err := keysOf(kvdb.Pairs(kv, "a/"))
	require.NoError(t, err)
	require.Equal(t, want, keys)

	keys, err = keysOf(kvdb.Pairs(&bare{kv}, "a/"))
	require.NoError(t, err)
	require.Equal(t, want, keys, "without pages")
}

// Options that need support of the store end the iteration of one without it. The others have
// their effect on any store.
func TestPairsWithoutSupport(t *testing.T) {
	kv := newMem(t, nil)
	put(t, kv, "a", "b", "c", "_d")
	for name, kv := range map[string]kvdb.Kvdb{"bare": &bare{kv}, "paged": &paged{bare{kv}, kv}} {
		for _, o := range []kvdb.PageOptions{{Hidden: true}, {TTL: true}} {
			keys, err := keysOf(kvdb.PairsWith(kv, "", o))
			require.Equal(t, kvdb.ErrNotSupported, err, name)
			require.Empty(t, keys)
		}
		n := 0
		for pair, err := range kvdb.PairsWith(kv, "", kvdb.PageOptions{From: "b", KeysOnly: true, Size: 2}) {
			require.NoError(t, err)
			require.Equal(t, []string{"b", "c"}[n], pair.Key, name)
			require.Nil(t, pair.Value)
			require.Positive(t, pair.ModifiedIndex)
			n++
		}
		require.Equal(t, 2, n)
	}
}

// paged is a kvdb.Pager that is not a kvdb.PagerWith. Its pages have one of two sizes.
type paged struct {
	bare
	store kvdb.Kvdb
}

func (p *paged) EnumeratePages(prefix string, size int) iter.Seq2[*kvdb.KVPair, error] {
	if size != 2 {
		return func(yield func(*kvdb.KVPair, error) bool) { yield(nil, fmt.Errorf("the page size is %d", size)) }
	}
	return p.store.(kvdb.Pager).EnumeratePages(prefix, size)
}

// PairsWith leaves out the value in a copy, because a mock may return the same pair again.
func TestPairsWithoutValuesCopies(t *testing.T) {
	store := ubermock.NewMockKvdb(gomock.NewController(t))
	same := &kvdb.KVPair{Key: "a", Value: []byte("value")}
	broken := errors.New("broken")
	store.EXPECT().Enumerate("").Return(kvdb.KVPairs{same}, broken)
	keys, err := keysOf(kvdb.PairsWith(store, "", kvdb.PageOptions{KeysOnly: true, From: "a"}))
	require.Equal(t, broken, err)
	require.Equal(t, []string{"a"}, keys)
	require.Equal(t, "value", string(same.Value))
}

func TestTTLOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t, nil)
		put(t, kv, "forever")
		_, err := kv.Put("key", "value", 10)
		require.NoError(t, err)
		time.Sleep(time.Second + time.Millisecond)
		remaining, has, err := kvdb.TTLOf(kv, "key")
		require.NoError(t, err)
		require.True(t, has)
		require.Equal(t, 9*time.Second-time.Millisecond, remaining)
		_, has, err = kvdb.TTLOf(kv, "forever")
		require.NoError(t, err)
		require.False(t, has)
		_, _, err = kvdb.TTLOf(&bare{kv}, "key")
		require.Equal(t, kvdb.ErrNotSupported, err)
	})
}

// A key that exists throughout the loop comes exactly once, whatever is written meanwhile.
func TestPairsWhileWriting(t *testing.T) {
	kv := newMem(t, nil)
	put(t, kv, "0", "1", "2", "3", "4", "5")
	stayed := []string{}
	for pair, err := range kv.(kvdb.Pager).EnumeratePages("", 2) {
		require.NoError(t, err)
		switch pair.Key {
		case "0": // change keys before, on and after the current page
			put(t, kv, "00", "3", "9")
			_, err := kv.Delete("4")
			require.NoError(t, err)
			_, err = kv.Delete("1")
			require.NoError(t, err)
		case "1", "4", "00", "9":
			continue
		}
		stayed = append(stayed, pair.Key)
	}
	require.Equal(t, []string{"0", "2", "3", "5"}, stayed)
}

func TestPairsBreak(t *testing.T) {
	kv := newMem(t, nil)
	put(t, kv, "a", "b", "c")
	for _, kv := range []kvdb.Kvdb{kv, &bare{kv}} {
		pairs := kvdb.Pairs(kv, "")
		for range 2 { // the iterator can be used again
			for pair, err := range pairs {
				require.NoError(t, err)
				require.Equal(t, "a", pair.Key)
				break
			}
		}
	}
}

func TestPairsFails(t *testing.T) {
	kv, err := kvdb.New(mem.Name, "", nil, nil, nil)
	require.NoError(t, err)
	require.NoError(t, kvdb.Close(kv))
	for _, kv := range []kvdb.Kvdb{kv, &bare{kv}} {
		keys, err := keysOf(kvdb.Pairs(kv, ""))
		require.Equal(t, kvdb.ErrClosed, err)
		require.Empty(t, keys)
	}
}

func TestEvents(t *testing.T) {
	kv := newMem(t, nil)
	put(t, kv, "a/1", "a/2", "b/1")
	events, err := kvdb.Events(t.Context(), kv, "a/", 1)
	require.NoError(t, err)
	put(t, kv, "a/1", "b/1", "a/3")
	seen := []string{}
	for pair, err := range events {
		require.NoError(t, err)
		seen = append(seen, fmt.Sprint(pair.Key, " ", pair.ModifiedIndex))
		if pair.Key == "a/3" {
			break
		}
	}
	require.Equal(t, []string{"a/2 2", "a/1 4", "a/3 6"}, seen)

	// The loop has ended the watch, so there are no more events.
	keys, err := keysOf(events)
	require.Equal(t, kvdb.ErrWatchStopped, err)
	require.Empty(t, keys)
}

// Leaving the loop ends the watch.
func TestEventsBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, watch := watchedMock(t, 0)
		events, err := kvdb.Events(t.Context(), store, "prefix", 0)
		require.NoError(t, err)
		go func() {
			if (*watch)("", nil, &kvdb.KVPair{Key: "a"}, nil) != nil {
				t.Error("stopped too early")
			}
		}()
		for range events {
			break
		}
		require.Error(t, (*watch)("", nil, &kvdb.KVPair{Key: "b"}, nil))
		require.Error(t, (*watch)("", nil, nil, kvdb.ErrWatchStopped))
	})
}

func TestEventsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		events, err := kvdb.Events(ctx, kv, "", 0)
		require.NoError(t, err)
		start := time.Now()
		keys, err := keysOf(events)
		require.Equal(t, kvdb.ErrWatchStopped, err)
		require.Empty(t, keys)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestEventsCompacted(t *testing.T) {
	kv := newMem(t, map[string]string{mem.KvHistory: "1"})
	for range 1000 {
		put(t, kv, "a")
	}
	events, err := kvdb.Events(t.Context(), kv, "", 1)
	require.NoError(t, err)
	keys, err := keysOf(events)
	require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
	require.Empty(t, keys)
}

// Close does not wait for a loop that receives the end of the watch.
func TestEventsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t, nil)
		events, err := kvdb.Events(t.Context(), kv, "", 0)
		require.NoError(t, err)
		start := time.Now()
		require.NoError(t, kvdb.Close(kv))
		require.Zero(t, time.Since(start))
		keys, err := keysOf(events)
		require.Equal(t, kvdb.ErrWatchStopped, err)
		require.Empty(t, keys)
	})
}

func TestEventsWithoutWatch(t *testing.T) {
	store := ubermock.NewMockKvdb(gomock.NewController(t))
	broken := errors.New("broken")
	store.EXPECT().WatchTree("prefix", uint64(3), gomock.Any(), gomock.Any()).Return(broken)
	kv := &binding{Kvdb: store}
	events, err := kvdb.Events(t.Context(), kv, "prefix", 3)
	require.Equal(t, broken, err)
	require.Nil(t, events)
	require.Error(t, kv.ctx.Err(), "the context of the watch has ended")
}

// A plain Kvdb delivers batches of one event, and one with batches all that have arrived.
func TestEventBatches(t *testing.T) {
	kv := newMem(t, nil)
	put(t, kv, "before", "a/1", "b/1", "a/2")
	for sizes, kv := range map[int]kvdb.Kvdb{1: &bare{kv}, 2: kv} {
		batches, err := kvdb.EventBatches(t.Context(), kv, "a/", 1)
		require.NoError(t, err)
		seen := []string{}
		for batch, err := range batches {
			require.NoError(t, err)
			require.Len(t, batch, sizes)
			for _, event := range batch {
				seen = append(seen, event.Key)
			}
			if len(seen) == 2 {
				break
			}
		}
		require.Equal(t, []string{"a/1", "a/2"}, seen)
	}
}

// A watch with batches ends like a plain one.
func TestWatchBatchesEnd(t *testing.T) {
	kv := newMem(t, map[string]string{mem.KvHistory: "1"})
	for range 1000 {
		put(t, kv, "a")
	}
	for _, kv := range []kvdb.Kvdb{&bare{kv}, kv} {
		require.ErrorIs(t, kvdb.WatchBatches(kv, "a", 1, nil), kvdb.ErrIllegal)
		for index, want := range map[uint64]error{1: kvdb.ErrWatchRevisionCompacted, 999: kvdb.ErrWatchStopped} {
			over := make(chan error, 1)
			require.NoError(t, kvdb.WatchBatches(kv, "a", index, func(events kvdb.KVPairs, err error) error {
				if err != nil {
					require.Empty(t, events)
					over <- err
				}
				return errors.New("enough")
			}))
			require.Equal(t, want, <-over)
		}
	}
}

// binding is a store that records the context of its view.
type binding struct {
	kvdb.Kvdb
	ctx context.Context
}

func (b *binding) BindContext(ctx context.Context) kvdb.Kvdb {
	b.ctx = ctx
	return b
}

// The loop ends with its context even if the store's watches do not obey a context.
func TestEventsContextNotObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, _ := watchedMock(t, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		events, err := kvdb.Events(ctx, store, "prefix", 0)
		require.NoError(t, err)
		keys, err := keysOf(events)
		require.Equal(t, kvdb.ErrWatchStopped, err)
		require.Empty(t, keys)
	})
}
