package kvdb_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/mock/ubermock"
)

// replay returns the keys that a callback with prefix and waitIndex receives.
func replay(t *testing.T, c kvdb.UpdatesCollector, prefix string, waitIndex uint64) (keys []string, version uint64, err error) {
	keys = []string{}
	version, err = c.ReplayUpdates([]kvdb.ReplayCb{{
		Prefix: prefix, WaitIndex: waitIndex, Opaque: "opaque",
		WatchCB: func(_ string, opaque interface{}, pair *kvdb.KVPair, err error) error {
			require.Equal(t, "opaque", opaque)
			require.NoError(t, err)
			keys = append(keys, pair.Key)
			return nil
		},
	}})
	return keys, version, err
}

func collect(t *testing.T, kv kvdb.Kvdb, prefix string, startIndex uint64) kvdb.UpdatesCollector {
	c, err := kvdb.NewUpdatesCollector(kv, prefix, startIndex)
	require.NoError(t, err)
	t.Cleanup(c.Stop)
	return c
}

func TestCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t, nil)
		put(t, kv, "a/1", "a/2", "a/3") // indexes 1 to 3
		c := collect(t, kv, "a/", 1)
		put(t, kv, "b/1", "a/1") // 4 and 5
		_, err := kv.Delete("a/2")
		require.NoError(t, err)
		synctest.Wait()

		keys, version, err := replay(t, c, "", 0)
		require.NoError(t, err)
		require.Equal(t, []string{"a/2", "a/3", "a/1", "a/2"}, keys)
		require.Equal(t, uint64(6), version)

		// A replay removes nothing, and the next one has the updates that arrived
		// meanwhile.
		put(t, kv, "a/4")
		synctest.Wait()
		keys, version, err = replay(t, c, "", 0)
		require.NoError(t, err)
		require.Equal(t, []string{"a/2", "a/3", "a/1", "a/2", "a/4"}, keys)
		require.Equal(t, uint64(7), version)
	})
}

// Each callback receives the updates that match its prefix and wait index. All callbacks
// receive one update before any receives the next.
func TestCollectorCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t, nil)
		c := collect(t, kv, "", 0)
		put(t, kv, "a", "b", "ab", "a") // 1 to 4
		synctest.Wait()

		type call struct {
			callback string
			key      string
			index    uint64
		}
		calls := []call{}
		callback := func(name, prefix string, waitIndex uint64) kvdb.ReplayCb {
			return kvdb.ReplayCb{Prefix: prefix, WaitIndex: waitIndex, Opaque: name,
				WatchCB: func(_ string, opaque interface{}, pair *kvdb.KVPair, err error) error {
					require.NoError(t, err)
					calls = append(calls, call{opaque.(string), pair.Key, pair.ModifiedIndex})
					pair.Value[0] = '!' // the callback may change its copy
					return nil
				}}
		}
		for range 2 {
			calls = calls[:0]
			version, err := c.ReplayUpdates([]kvdb.ReplayCb{
				callback("all", "", 0), callback("a", "a", 1), callback("b", "b", 1), callback("late", "", 4),
			})
			require.NoError(t, err)
			require.Equal(t, uint64(4), version)
			require.Equal(t, []call{
				{"all", "a", 1},
				{"all", "b", 2}, {"b", "b", 2},
				{"all", "ab", 3}, {"a", "ab", 3},
				{"all", "a", 4}, {"a", "a", 4},
			}, calls)
		}
		_, err := c.ReplayUpdates([]kvdb.ReplayCb{{WatchCB: func(_ string, _ interface{}, pair *kvdb.KVPair, _ error) error {
			require.Equal(t, pair.Key, string(pair.Value), "the change by one callback is visible to another")
			return nil
		}}})
		require.NoError(t, err)
	})
}

// Without an update the version is the start index.
func TestCollectorWithoutUpdates(t *testing.T) {
	kv := newMem(t, nil)
	put(t, kv, "a", "b")
	c := collect(t, kv, "c", 2)
	keys, version, err := replay(t, c, "", 0)
	require.NoError(t, err)
	require.Empty(t, keys)
	require.Equal(t, uint64(2), version)
	version, err = c.ReplayUpdates(nil)
	require.NoError(t, err)
	require.Equal(t, uint64(2), version)
}

func TestCollectorCallbackFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t, nil)
		c := collect(t, kv, "", 0)
		put(t, kv, "a", "b", "c")
		synctest.Wait()
		broken := errors.New("broken")
		seen := []string{}
		version, err := c.ReplayUpdates([]kvdb.ReplayCb{{
			WatchCB: func(_ string, _ interface{}, pair *kvdb.KVPair, _ error) error {
				seen = append(seen, pair.Key)
				if pair.Key == "b" {
					return broken
				}
				return nil
			},
		}})
		require.Equal(t, broken, err)
		require.Equal(t, []string{"a", "b"}, seen)
		require.Equal(t, uint64(1), version, "the last index that was replayed")

		keys, version, err := replay(t, c, "", 0)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "c"}, keys)
		require.Equal(t, uint64(3), version)
	})
}

// watchedMock returns a store that expects one watch, and the place where it stores the
// watch's callback.
func watchedMock(t *testing.T, startIndex uint64) (*ubermock.MockKvdb, *kvdb.WatchCB) {
	store, cb := ubermock.NewMockKvdb(gomock.NewController(t)), new(kvdb.WatchCB)
	store.EXPECT().WatchTree("prefix", startIndex, gomock.Any(), gomock.Any()).DoAndReturn(
		func(_ string, _ uint64, _ interface{}, watchCB kvdb.WatchCB) error {
			*cb = watchCB
			return nil
		})
	return store, cb
}

// On stores where all keys of a transaction have the same index, the version after an error
// does not skip updates that were not replayed.
func TestCollectorSharedIndex(t *testing.T) {
	store, watch := watchedMock(t, 4)
	c := collect(t, store, "prefix", 4)
	for _, pair := range []kvdb.KVPair{
		{Key: "a", ModifiedIndex: 5}, {Key: "b", ModifiedIndex: 7}, {Key: "c", ModifiedIndex: 7},
	} {
		require.NoError(t, (*watch)("domain/prefix", nil, &pair, nil))
	}
	broken := errors.New("broken")
	for failing, want := range map[string]uint64{"a": 4, "b": 5, "c": 5} {
		version, err := c.ReplayUpdates([]kvdb.ReplayCb{{Prefix: failing,
			WatchCB: func(prefix string, _ interface{}, _ *kvdb.KVPair, _ error) error {
				require.Equal(t, "domain/prefix", prefix)
				return broken
			}}})
		require.Equal(t, broken, err)
		require.Equal(t, want, version, failing)
	}
	_, version, err := replay(t, c, "", 0)
	require.NoError(t, err)
	require.Equal(t, uint64(7), version)
}

// Each replay delivers the updates that preceded the end of the watch, and then returns the
// watch's error.
func TestCollectorWatchBreaks(t *testing.T) {
	store, watch := watchedMock(t, 0)
	c := collect(t, store, "prefix", 0)
	require.NoError(t, (*watch)("prefix", nil, &kvdb.KVPair{Key: "a", ModifiedIndex: 3}, nil))
	require.Error(t, (*watch)("prefix", nil, nil, kvdb.ErrWatchStopped))
	for range 2 {
		keys, version, err := replay(t, c, "", 0)
		require.Equal(t, kvdb.ErrWatchStopped, err)
		require.Equal(t, []string{"a"}, keys)
		require.Equal(t, uint64(3), version)
	}
}

// If a store reports the end of a watch twice, because the callback returned the first
// error, the first error counts.
func TestCollectorWatchEndsTwice(t *testing.T) {
	store, watch := watchedMock(t, 0)
	c := collect(t, store, "prefix", 0)
	require.Error(t, (*watch)("prefix", nil, nil, kvdb.ErrWatchRevisionCompacted))
	require.Error(t, (*watch)("prefix", nil, nil, kvdb.ErrWatchStopped))
	_, _, err := replay(t, c, "", 0)
	require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
}

func TestCollectorCompacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t, map[string]string{mem.KvHistory: "1"})
		for range 1000 {
			put(t, kv, "a")
		}
		c := collect(t, kv, "", 1)
		synctest.Wait()
		keys, version, err := replay(t, c, "", 0)
		require.Equal(t, kvdb.ErrWatchRevisionCompacted, err)
		require.Empty(t, keys)
		require.Equal(t, uint64(1), version)
	})
}

func TestCollectorWithoutWatch(t *testing.T) {
	store := ubermock.NewMockKvdb(gomock.NewController(t))
	store.EXPECT().WatchTree("prefix", uint64(1), gomock.Any(), gomock.Any()).Return(kvdb.ErrNoConnection)
	c, err := kvdb.NewUpdatesCollector(store, "prefix", 1)
	require.Equal(t, kvdb.ErrNoConnection, err)
	require.Nil(t, c)
}

// Stop ends the watch. Updates that were collected before can still be replayed.
func TestCollectorStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := newMem(t, nil)
		c := collect(t, kv, "", 0)
		put(t, kv, "a")
		synctest.Wait()
		c.Stop()
		c.Stop()
		synctest.Wait()
		put(t, kv, "b")
		synctest.Wait()
		keys, version, err := replay(t, c, "", 0)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, keys)
		require.Equal(t, uint64(1), version)
	})
}

// If the store's watches do not obey a context, Stop ends the watch at its next event.
func TestCollectorStopWithoutContext(t *testing.T) {
	store, watch := watchedMock(t, 0)
	c := collect(t, store, "prefix", 0)
	require.NoError(t, (*watch)("prefix", nil, &kvdb.KVPair{Key: "a", ModifiedIndex: 1}, nil))
	c.Stop()
	require.Error(t, (*watch)("prefix", nil, &kvdb.KVPair{Key: "b", ModifiedIndex: 2}, nil))
	require.Error(t, (*watch)("prefix", nil, nil, kvdb.ErrWatchStopped))
	keys, _, err := replay(t, c, "", 0)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, keys)
}

// If the store's watches obey a context, Stop ends the watch at once.
func TestCollectorStopEndsContext(t *testing.T) {
	store, _ := watchedMock(t, 0)
	kv := &binding{Kvdb: store}
	c := collect(t, kv, "prefix", 0)
	require.NoError(t, kv.ctx.Err())
	c.Stop()
	require.Error(t, kv.ctx.Err())
}

func TestCollectorWithoutCallback(t *testing.T) {
	c := collect(t, newMem(t, nil), "", 0)
	version, err := c.ReplayUpdates([]kvdb.ReplayCb{{}})
	require.ErrorIs(t, err, kvdb.ErrIllegal)
	require.Zero(t, version)
}
