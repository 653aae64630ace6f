package mem_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// Each key that one call changes has its own index and event. The indexes are consecutive,
// and a watch resumed from any of them gets the rest.
func TestEachKeyOfACallHasAnIndex(t *testing.T) {
	inBubble(t, func(t *testing.T, kv kvdb.Kvdb) {
		watch := record(t, kv, "")
		tx, err := kv.TxNew()
		require.NoError(t, err)
		for _, key := range []string{"tree/c", "tree/a", "tree/b"} {
			_, err := tx.Put(key, key, 0)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
		require.NoError(t, kv.DeleteTree("tree"))
		want := []string{
			"1 tree/c 2", "2 tree/a 2", "3 tree/b 2", // KVCreate, in the order of the puts
			"4 tree/a 8", "5 tree/b 8", "6 tree/c 8", // KVDelete, in the order of the keys
		}
		short := func(events []kvdb.KVPair) (all []string) {
			for _, e := range events {
				require.Equal(t, e.Key, string(e.Value), "a delete has the last value")
				all = append(all, fmt.Sprintf("%d %s %d", e.ModifiedIndex, e.Key, e.Action))
			}
			return all
		}
		require.Equal(t, want, short(watch.all()))

		for after := 1; after <= 5; after++ {
			resumed := &recorder{}
			require.NoError(t, kv.WatchTree("tree/", uint64(after), nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
				if err == nil {
					resumed.add(pair)
				}
				return err
			}))
			require.Equal(t, want[after:], short(resumed.all()))
		}
	})
}

// The created index stays the same while the key exists, and the modified index grows.
func TestIndexesOfAKey(t *testing.T) {
	kv := open(t, nil)
	require.Equal(t, uint64(1), put(t, kv, "key", "value").CreatedIndex)
	put(t, kv, "other", "value")
	for _, pair := range []*kvdb.KVPair{put(t, kv, "key", "value"), get(t, kv, "key")} {
		require.Equal(t, uint64(1), pair.CreatedIndex)
		require.Equal(t, uint64(3), pair.ModifiedIndex)
		require.Equal(t, uint64(3), pair.KVDBIndex)
	}
	old, err := kv.Delete("key")
	require.NoError(t, err)
	require.Equal(t, uint64(3), old.ModifiedIndex)
	require.Equal(t, uint64(4), old.KVDBIndex)
	require.Equal(t, uint64(5), put(t, kv, "key", "value").CreatedIndex)
	require.Equal(t, uint64(5), get(t, kv, "other").KVDBIndex)
}

// No reader sees part of a transaction or of a DeleteTree.
func TestCallsAreAtomic(t *testing.T) {
	for name, options := range modes {
		t.Run(name, func(t *testing.T) {
			kv := open(t, options)
			const keys, rounds = 20, 300
			var writing, reading sync.WaitGroup
			stop := make(chan struct{})
			writing.Go(func() {
				for range rounds {
					tx, err := kv.TxNew()
					if err != nil {
						t.Error(err)
						return
					}
					for i := range keys {
						if _, err := tx.Put(fmt.Sprintf("tree/%d", i), "value", 0); err != nil {
							t.Error(err)
						}
					}
					if err := tx.Commit(); err != nil {
						t.Error(err)
					}
					if err := kv.DeleteTree("tree"); err != nil {
						t.Error(err)
					}
				}
			})
			whole := func(n int, err error) {
				if err != nil || n != 0 && n != keys {
					t.Errorf("a reader saw a part: %d of %d, %v", n, keys, err)
				}
			}
			for _, read := range []func(){
				func() { pairs, err := kv.Enumerate("tree/"); whole(len(pairs), err) },
				func() { names, err := kv.Keys("tree", ""); whole(len(names), err) },
				func() {
					snapshot, index, err := kv.Snapshot([]string{"tree/"}, true)
					if err != nil {
						t.Error(err)
						return
					}
					pairs, err := snapshot.Enumerate("")
					whole(len(pairs), err)
					for _, pair := range pairs {
						if pair.ModifiedIndex >= index {
							t.Errorf("%d in the snapshot of %d", pair.ModifiedIndex, index)
						}
					}
				},
			} {
				reading.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							read()
						}
					}
				})
			}
			writing.Wait()
			close(stop)
			reading.Wait()
		})
	}
}

// A watch from the index of a consistent snapshot delivers exactly the later changes,
// during concurrent writes.
func TestWatchFromSnapshot(t *testing.T) {
	for name, options := range modes {
		t.Run(name, func(t *testing.T) {
			kv := open(t, options)
			const writers, writes = 4, 500
			var writing sync.WaitGroup
			for w := range writers {
				writing.Go(func() {
					for i := range writes {
						if _, err := kv.Put(fmt.Sprintf("%d/%d", w, i%10), fmt.Sprint(i), 0); err != nil {
							t.Error(err)
						}
					}
				})
			}
			var replicas []*replica
			for range 20 {
				snapshot, index, err := kv.Snapshot(nil, true)
				require.NoError(t, err)
				pairs, err := snapshot.Enumerate("")
				require.NoError(t, err)
				r := &replica{values: map[string]string{}, done: make(chan struct{})}
				for _, pair := range pairs {
					require.Less(t, pair.ModifiedIndex, index)
					r.values[pair.Key] = string(pair.Value)
				}
				require.NoError(t, kv.WatchTree("", index, nil, r.apply))
				replicas = append(replicas, r)
			}
			writing.Wait()
			put(t, kv, "end", "")
			pairs, err := kv.Enumerate("")
			require.NoError(t, err)
			want := map[string]string{}
			for _, pair := range pairs {
				want[pair.Key] = string(pair.Value)
			}
			for _, r := range replicas {
				<-r.done
				require.Equal(t, want, r.values)
			}
		})
	}
}

// replica is a copy of a store that a watch keeps current.
type replica struct {
	values map[string]string
	done   chan struct{} // closed at the key "end"
}

func (r *replica) apply(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
	if err != nil {
		return err
	}
	r.values[pair.Key] = string(pair.Value)
	if pair.Key == "end" {
		close(r.done)
	}
	return nil
}

// The option for the history bounds how far back a watch can start.
func TestHistoryOption(t *testing.T) {
	for limit, options := range map[int]map[string]string{
		100: {"KvHistory": "100"}, 16384: nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			kv := open(t, options)
			last := uint64(2*limit + 100)
			for range last {
				put(t, kv, "key", "value")
			}
			var ends error
			watch := func(after uint64) int {
				seen := &recorder{}
				ends = nil
				require.NoError(t, kv.WatchKey("key", after, nil, func(_ string, _ interface{}, pair *kvdb.KVPair, err error) error {
					if err != nil {
						ends = err
						return nil
					}
					seen.add(pair)
					return nil
				}))
				return len(seen.all())
			}
			require.Equal(t, limit, watch(last-uint64(limit)))
			require.NoError(t, ends)
			require.Zero(t, watch(1))
			require.Equal(t, kvdb.ErrWatchRevisionCompacted, ends)
		})
	}
}
