package mem_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

// inBubble runs f with both kinds of store in a synctest bubble, whose clock is exact.
func inBubble(t *testing.T, f func(t *testing.T, kv kvdb.Kvdb)) {
	for name, options := range modes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, open(t, options)) })
		})
	}
}

func putTTL(t testing.TB, kv kvdb.Kvdb, key string, seconds uint64) *kvdb.KVPair {
	t.Helper()
	pair, err := kv.Put(key, "value", seconds)
	require.NoError(t, err)
	require.Equal(t, int64(seconds), pair.TTL)
	return pair
}

func requireGone(t testing.TB, kv kvdb.Kvdb, key string) {
	t.Helper()
	_, err := kv.Get(key)
	require.Equal(t, kvdb.ErrNotFound, err)
}

// recorder keeps the events of a watch.
type recorder struct {
	mu     sync.Mutex // protects events
	events []kvdb.KVPair
}

func (r *recorder) add(pair *kvdb.KVPair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, *pair)
}

// all returns the events so far. It must be called in a synctest bubble.
func (r *recorder) all() []kvdb.KVPair {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func record(t testing.TB, kv kvdb.Kvdb, prefix string) *recorder {
	t.Helper()
	r := &recorder{}
	require.NoError(t, kv.WatchTree(prefix, 0, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
		if err == nil {
			r.add(pair)
		}
		return err
	}))
	return r
}

// A key exists exactly until the end of its TTL, and its expiry has its own event at that
// time.
func TestExpiryIsExact(t *testing.T) {
	inBubble(t, func(t *testing.T, kv kvdb.Kvdb) {
		watch := record(t, kv, "")
		put(t, kv, "dir/stays", "value")
		written := putTTL(t, kv, "dir/goes", 10)
		time.Sleep(10*time.Second - 1)
		pair, err := kv.Get("dir/goes")
		require.NoError(t, err)
		require.EqualValues(t, 1, pair.TTL)
		require.Len(t, watch.all(), 2)

		time.Sleep(time.Nanosecond)
		events := watch.all()
		require.Len(t, events, 3)
		require.Equal(t, kvdb.KVPair{
			Key: "dir/goes", Value: []byte("value"), Action: kvdb.KVDelete,
			CreatedIndex: written.CreatedIndex, ModifiedIndex: 3, KVDBIndex: 3,
		}, events[2])
		requireGone(t, kv, "dir/goes")
		require.Equal(t, uint64(4), put(t, kv, "dir/stays", "value").ModifiedIndex)
	})
}

// A pair that was read has the remaining seconds, rounded up. Pairs of a snapshot and of
// later pages have those at the time of the copy.
func TestTTLOfPairsRead(t *testing.T) {
	inBubble(t, func(t *testing.T, kv kvdb.Kvdb) {
		put(t, kv, "a", "value")
		putTTL(t, kv, "b", 10)
		putTTL(t, kv, "c", 100)
		check := func(b, c int64) {
			t.Helper()
			pairs, err := kv.Enumerate("")
			require.NoError(t, err)
			require.Equal(t, []int64{0, b, c}, ttls(pairs))
			got, err := kv.Get("b")
			require.NoError(t, err)
			require.Equal(t, b, got.TTL)
			remaining, has, err := kvdb.TTLOf(kv, "b")
			require.NoError(t, err)
			require.True(t, has)
			require.Equal(t, b, int64((remaining+time.Second-1)/time.Second))
		}
		check(10, 100)
		snapshot, _, err := kv.Snapshot(nil, true)
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		check(10, 100)
		time.Sleep(time.Second - 1)
		check(9, 99)
		var pages kvdb.KVPairs
		for pair, err := range kv.(kvdb.Pager).EnumeratePages("", 1) {
			require.NoError(t, err)
			pages = append(pages, pair)
			time.Sleep(time.Second)
		}
		require.Equal(t, []int64{0, 9, 99}, ttls(pages))
		check(6, 96)
		again, _, err := snapshot.Snapshot([]string{"a", "b", "c"}, true)
		require.NoError(t, err)
		for _, s := range []kvdb.Kvdb{snapshot, again} {
			remaining, has, err := kvdb.TTLOf(s, "b")
			require.NoError(t, err)
			require.True(t, has)
			require.Equal(t, 10*time.Second, remaining)
			pairs, err := s.Enumerate("")
			require.NoError(t, err)
			require.Equal(t, []int64{0, 10, 100}, ttls(pairs))
		}
		existing, err := kv.Create("b", "value", 0)
		require.Equal(t, kvdb.ErrExist, err)
		require.EqualValues(t, 6, existing.TTL)
		old, err := kv.Delete("b")
		require.NoError(t, err)
		require.Zero(t, old.TTL)
	})
}

// SnapPut keeps the TTL of the pair.
func TestTTLOfSnapPut(t *testing.T) {
	kv := open(t, map[string]string{mem.KvSnap: ""})
	for i, c := range []struct{ given, want int64 }{{0, 0}, {-1, 0}, {17, 17}, {math.MaxInt64, math.MaxInt64 / int64(time.Second)}} {
		key := strconv.Itoa(i)
		_, err := kv.SnapPut(&kvdb.KVPair{Key: key, TTL: c.given})
		require.NoError(t, err)
		got, err := kv.Get(key)
		require.NoError(t, err)
		require.Equal(t, c.want, got.TTL)
	}
}

func ttls(pairs kvdb.KVPairs) (ttls []int64) {
	for _, pair := range pairs {
		ttls = append(ttls, pair.TTL)
	}
	return ttls
}

// At the time of the expiry no call sees the key, whether a call or the timer runs first,
// and there is one event.
func TestNoCallSeesExpiredKeys(t *testing.T) {
	key := "dir/key"
	calls := map[string]func(t *testing.T, kv kvdb.Kvdb){
		"Get": func(t *testing.T, kv kvdb.Kvdb) { requireGone(t, kv, key) },
		"GetWithCopy": func(t *testing.T, kv kvdb.Kvdb) {
			_, err := kv.GetWithCopy(key, func(v interface{}) interface{} { return v })
			require.Equal(t, kvdb.ErrNotFound, err)
		},
		"Enumerate": func(t *testing.T, kv kvdb.Kvdb) {
			pairs, err := kv.Enumerate("")
			require.NoError(t, err)
			require.Empty(t, pairs)
		},
		"EnumerateWithSelect": func(t *testing.T, kv kvdb.Kvdb) {
			values, err := kv.EnumerateWithSelect("", func(interface{}) bool { return true }, func(v interface{}) interface{} { return v })
			require.NoError(t, err)
			require.Empty(t, values)
		},
		"EnumeratePages": func(t *testing.T, kv kvdb.Kvdb) {
			for range kvdb.Pairs(kv, "") {
				t.Error("a pair")
			}
		},
		"TTLOf": func(t *testing.T, kv kvdb.Kvdb) {
			_, _, err := kvdb.TTLOf(kv, key)
			require.Equal(t, kvdb.ErrNotFound, err)
		},
		"Keys": func(t *testing.T, kv kvdb.Kvdb) {
			names, err := kv.Keys("", "")
			require.NoError(t, err)
			require.Empty(t, names)
		},
		"Snapshot": func(t *testing.T, kv kvdb.Kvdb) {
			snapshot, _, err := kv.Snapshot(nil, true)
			require.NoError(t, err)
			requireGone(t, snapshot, key)
		},
		"Create": func(t *testing.T, kv kvdb.Kvdb) {
			pair, err := kv.Create(key, "new", 0)
			require.NoError(t, err)
			require.Equal(t, uint64(3), pair.CreatedIndex, "after the expiry")
			_, err = kv.Delete(key)
			require.NoError(t, err)
		},
		"Update": func(t *testing.T, kv kvdb.Kvdb) {
			_, err := kv.Update(key, "new", 0)
			require.Equal(t, kvdb.ErrNotFound, err)
		},
		"Delete": func(t *testing.T, kv kvdb.Kvdb) {
			_, err := kv.Delete(key)
			require.Equal(t, kvdb.ErrNotFound, err)
		},
		"DeleteTree": func(t *testing.T, kv kvdb.Kvdb) { require.NoError(t, kv.DeleteTree("dir")) },
		"CompareAndSet": func(t *testing.T, kv kvdb.Kvdb) {
			_, err := kv.CompareAndSet(&kvdb.KVPair{Key: key, ModifiedIndex: 1}, kvdb.KVModifiedIndex, nil)
			require.Equal(t, kvdb.ErrNotFound, err)
		},
		"Commit": func(t *testing.T, kv kvdb.Kvdb) {
			tx, err := kv.TxNew()
			require.NoError(t, err)
			_, err = tx.Get(key)
			require.Equal(t, kvdb.ErrNotFound, err)
			require.NoError(t, tx.Commit())
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, kv kvdb.Kvdb) {
				watch := record(t, kv, "")
				putTTL(t, kv, key, 1)
				time.Sleep(time.Second)
				call(t, kv)
				events := watch.all()
				require.Equal(t, kvdb.KVDelete, events[1].Action)
				require.Equal(t, uint64(2), events[1].ModifiedIndex)
				for _, e := range events[2:] { // of the call itself
					require.Equal(t, name, "Create")
					require.GreaterOrEqual(t, e.CreatedIndex, uint64(3))
				}
			})
		})
	}
}

// A transaction conflicts with the expiry of a key that it has read.
func TestExpiryConflictsWithTx(t *testing.T) {
	inBubble(t, func(t *testing.T, kv kvdb.Kvdb) {
		putTTL(t, kv, "key", 1)
		tx, err := kv.TxNew()
		require.NoError(t, err)
		_, err = tx.Get("key")
		require.NoError(t, err)
		_, err = tx.Put("other", "value", 0)
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.Equal(t, kvdb.ErrModified, tx.Commit())
		requireGone(t, kv, "other")
	})
}

// The TTL of a later write replaces the earlier one, a write without a TTL removes it, and
// so does a delete.
func TestLaterWriteReplacesTTL(t *testing.T) {
	inBubble(t, func(t *testing.T, kv kvdb.Kvdb) {
		for key, again := range map[string]uint64{"longer": 20, "shorter": 5, "none": 0, "same": 10} {
			putTTL(t, kv, key, 10)
			putTTL(t, kv, key, again)
		}
		putTTL(t, kv, "deleted", 10)
		_, err := kv.Delete("deleted")
		require.NoError(t, err)
		put(t, kv, "deleted", "again")
		putTTL(t, kv, "tree/deleted", 10)
		require.NoError(t, kv.DeleteTree("tree"))
		put(t, kv, "tree/deleted", "again")

		there := func() (keys []string) {
			pairs, err := kv.Enumerate("")
			require.NoError(t, err)
			for _, pair := range pairs {
				keys = append(keys, pair.Key)
			}
			return keys
		}
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"deleted", "longer", "none", "same", "tree/deleted"}, there())
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"deleted", "longer", "none", "tree/deleted"}, there())
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"deleted", "none", "tree/deleted"}, there())
		time.Sleep(1000 * time.Hour)
		require.Equal(t, []string{"deleted", "none", "tree/deleted"}, there())
	})
}

// Of many TTLs in random order, each ends at its time, and the events come in the order of
// time.
func TestManyTTLs(t *testing.T) {
	inBubble(t, func(t *testing.T, kv kvdb.Kvdb) {
		began := time.Now()
		ends := map[string]time.Duration{}
		for i := range 2000 {
			key := fmt.Sprint(i % 500) // each key is overwritten several times
			seconds := rand.Uint64N(1000) + 1
			putTTL(t, kv, key, seconds)
			ends[key] = time.Since(began) + time.Duration(seconds)*time.Second
			time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
		}
		var mu sync.Mutex // protects the fields below
		last := time.Duration(0)
		expired := 0
		require.NoError(t, kv.WatchTree("", 2000, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			now := time.Since(began)
			if pair.Action != kvdb.KVDelete || ends[pair.Key] != now || now < last {
				t.Errorf("%+v at %v instead of %v", pair, now, ends[pair.Key])
			}
			last = now
			expired++
			return nil
		}))
		time.Sleep(1001 * time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, 500, expired)
	})
}

func TestLongestTTL(t *testing.T) {
	inBubble(t, func(t *testing.T, kv kvdb.Kvdb) {
		const century = 100 * 365 * 24 * 60 * 60 // seconds
		_, err := kv.Put("key", "value", century+1)
		require.Equal(t, kvdb.ErrTTLNotSupported, err)
		requireGone(t, kv, "key")
		time.Sleep(50 * 365 * 24 * time.Hour)
		putTTL(t, kv, "key", century)
		time.Sleep(century*time.Second - 1)
		_, err = kv.Get("key")
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		requireGone(t, kv, "key")
	})
}

// A watch does not get an expiry that is due after Close.
func TestCloseStopsExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := open(t, nil)
		watch := record(t, kv, "")
		putTTL(t, kv, "key", 10)
		require.Len(t, watch.all(), 1)
		require.NoError(t, kvdb.Close(kv))
		time.Sleep(time.Hour)
		require.Len(t, watch.all(), 1)
	})
}
