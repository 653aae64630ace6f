package mem_test

import (
	"encoding/json"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

type volume struct {
	Name string
	Size int
}

func take(v interface{}) interface{} { return v }

// Callbacks get the same object that was put; all other results have its encoding.
func TestObjectsAreKept(t *testing.T) {
	kv := open(t, modes["objects"])
	v := &volume{"one", 1}
	put(t, kv, "volumes/1", v)

	got, err := kv.GetWithCopy("volumes/1", take)
	require.NoError(t, err)
	require.Same(t, v, got)
	values, err := kv.EnumerateWithSelect("volumes/", func(val interface{}) bool { return val == interface{}(v) }, take)
	require.NoError(t, err)
	require.Equal(t, []interface{}{v}, values)
	require.Same(t, v, values[0])

	pair, err := kv.Get("volumes/1")
	require.NoError(t, err)
	require.JSONEq(t, `{"Name":"one","Size":1}`, string(pair.Value))
	decoded := volume{}
	_, err = kv.GetVal("volumes/1", &decoded)
	require.NoError(t, err)
	require.Equal(t, *v, decoded)

	// The same holds for a transaction and a snapshot.
	tx, err := kv.TxNew()
	require.NoError(t, err)
	w := &volume{"two", 2}
	_, err = tx.Put("volumes/2", w, 0)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	snapshot, _, err := kv.Snapshot(nil, true)
	require.NoError(t, err)
	for _, from := range []kvdb.Kvdb{kv, snapshot} {
		got, err = from.GetWithCopy("volumes/2", take)
		require.NoError(t, err)
		require.Same(t, w, got)
	}
}

// Reads and comparisons of values encode the present state of the object; events have the
// encoding at the time of the write.
func TestObjectsAreEncodedWhenTheyAreRead(t *testing.T) {
	kv := open(t, modes["objects"])
	v := &volume{"one", 1}
	written := put(t, kv, "volumes/1", v)
	put(t, kv, "volumes/2", "string")
	before, _, err := kv.Snapshot(nil, true)
	require.NoError(t, err)

	v.Size = 2
	const now, old = `{"Name":"one","Size":2}`, `{"Name":"one","Size":1}`
	is := func(want string, pair *kvdb.KVPair, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Equal(t, want, string(pair.Value))
		require.Equal(t, written.ModifiedIndex, pair.ModifiedIndex, "a change of an object is not a write")
	}
	pair, err := kv.Get("volumes/1")
	is(now, pair, err)
	decoded := volume{}
	pair, err = kv.GetVal("volumes/1", &decoded)
	is(now, pair, err)
	require.Equal(t, *v, decoded)
	pairs, err := kv.Enumerate("volumes/")
	is(now, pairs[0], err)
	pairs, err = kv.EnumerateKVPWithSelect("volumes/1", func(*kvdb.KVPair, interface{}) bool { return true },
		func(pair *kvdb.KVPair, _ interface{}) *kvdb.KVPair { return pair })
	is(now, pairs[0], err)
	put(t, kv, "volumes/0", "so that volumes/1 is on the second page")
	pages := kvdb.KVPairs{}
	for pair, err := range kv.(kvdb.Pager).EnumeratePages("volumes/", 1) {
		require.NoError(t, err)
		pages = append(pages, pair)
	}
	is(now, pages[1], nil)
	existing, err := kv.Create("volumes/1", "new", 0)
	require.Equal(t, kvdb.ErrExist, err)
	is(now, existing, nil)
	pair, err = before.Get("volumes/1")
	is(old, pair, err)
	after, _, err := kv.Snapshot([]string{"volumes/1"}, true)
	require.NoError(t, err)
	pair, err = after.Get("volumes/1")
	is(now, pair, err)
	v.Size = 3
	pair, err = after.Get("volumes/1")
	is(now, pair, err)
	v.Size = 2

	_, err = kv.CompareAndSet(&kvdb.KVPair{Key: "volumes/1", Value: []byte("x")}, 0, []byte(old))
	require.Equal(t, kvdb.ErrValueMismatch, err)
	_, err = kv.CompareAndDelete(&kvdb.KVPair{Key: "volumes/1", Value: []byte(old)}, 0)
	require.Equal(t, kvdb.ErrValueMismatch, err)
	_, err = kv.CompareAndSet(&kvdb.KVPair{Key: "missing", Value: []byte("x")}, 0, []byte(old))
	require.Equal(t, kvdb.ErrNotFound, err)
	pair, err = kv.CompareAndDelete(&kvdb.KVPair{Key: "volumes/1", Value: []byte(now)}, 0)
	is(now, pair, err)

	events, err := kvdb.Events(t.Context(), kv, "volumes/1", 0)
	require.NoError(t, err)
	for pair, err := range events {
		require.NoError(t, err)
		require.Equal(t, old, string(pair.Value))
		if pair.Action == kvdb.KVDelete {
			break
		}
	}
}

// An object may call the store while it is encoded.
func TestObjectsMayCallTheStore(t *testing.T) {
	kv := open(t, modes["objects"])
	put(t, kv, "counted", "1")
	put(t, kv, "key", &counting{kv})
	pair, err := kv.Get("key")
	require.NoError(t, err)
	require.Equal(t, `{"Key":"counted"}`, string(pair.Value))
	_, err = kv.Enumerate("")
	require.NoError(t, err)
	_, err = kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("x")}, 0, pair.Value)
	require.NoError(t, err)
}

// counting is an object whose encoding reads and writes its store.
type counting struct{ kv kvdb.Kvdb }

func (c *counting) MarshalJSON() ([]byte, error) {
	pair, err := c.kv.Put("counted", "2", 0)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"Key": pair.Key})
}

// A read of an object that can no longer be encoded returns an error, and the object can be
// replaced.
func TestObjectsThatCanNoLongerBeEncoded(t *testing.T) {
	kv := open(t, modes["objects"])
	object := map[string]interface{}{"a": 1}
	put(t, kv, "dir/key", object)
	put(t, kv, "other", "value")
	object["a"] = func() {}
	for call, f := range map[string]func() error{
		"Get":       func() error { _, err := kv.Get("dir/key"); return err },
		"Enumerate": func() error { _, err := kv.Enumerate(""); return err },
		"Pages": func() (err error) {
			for _, err = range kvdb.Pairs(kv, "dir") {
			}
			return err
		},
		"Serialize": func() error { _, err := kv.Serialize(); return err },
		"Snapshot":  func() error { _, _, err := kv.Snapshot(nil, true); return err },
		"CompareAndSet": func() error {
			_, err := kv.CompareAndSet(&kvdb.KVPair{Key: "dir/key"}, 0, []byte(`{"a":1}`))
			return err
		},
	} {
		err := f()
		require.ErrorIs(t, err, kvdb.ErrIllegal, call)
		require.ErrorContains(t, err, "dir/key", call)
	}
	_, err := kv.Enumerate("other")
	require.NoError(t, err)
	values, err := kv.EnumerateWithSelect("dir", func(interface{}) bool { return true }, take)
	require.NoError(t, err)
	require.Len(t, values, 1)
	existing, err := kv.Create("dir/key", "new", 0)
	require.Equal(t, kvdb.ErrExist, err)
	require.Equal(t, `{"a":1}`, string(existing.Value))
	old, err := kv.Delete("dir/key")
	require.NoError(t, err)
	require.Equal(t, `{"a":1}`, string(old.Value))
	_, err = kv.Enumerate("")
	require.NoError(t, err)
}

// Of several concurrent calls that compare an object's value and replace it, one succeeds.
func TestObjectsAreComparedInOneStep(t *testing.T) {
	kv := open(t, modes["objects"])
	put(t, kv, "key", 0)
	var wg sync.WaitGroup
	const callers, rounds = 4, 50
	for range callers {
		wg.Go(func() {
			for range rounds {
				for {
					pair, err := kv.Get("key")
					if err != nil {
						t.Error(err)
						return
					}
					n, _ := strconv.Atoi(string(pair.Value))
					_, err = kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte(strconv.Itoa(n + 1))}, 0, pair.Value)
					if err == nil {
						break
					}
					if err != kvdb.ErrValueMismatch {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	pair, err := kv.Get("key")
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(callers*rounds), string(pair.Value))
}

// Without the option the store keeps no memory of the caller.
func TestBytesAreCopied(t *testing.T) {
	for _, size := range []int{1, 127, 128, 129, 5000} {
		kv := open(t, nil)
		value := make([]byte, size)
		pair, err := kv.Put("key", value, 0)
		require.NoError(t, err)
		value[0], pair.Value[0] = 'X', 'Y'
		for range 2 {
			got, err := kv.Get("key")
			require.NoError(t, err)
			require.Equal(t, make([]byte, size), got.Value)
			got.Value[0] = 'Z'
			pairs, err := kv.Enumerate("")
			require.NoError(t, err)
			require.Equal(t, make([]byte, size), pairs[0].Value)
			pairs[0].Value[0] = 'Z'
		}
		put(t, kv, "key2", "second")
		pairs, err := kv.Enumerate("")
		require.NoError(t, err)
		_ = append(pairs[0].Value, "XYZ"...)
		require.Equal(t, "second", string(pairs[1].Value), "values of one result do not overlap")
	}
}

func TestSnapOption(t *testing.T) {
	kv := open(t, map[string]string{mem.KvSnap: ""})
	pair := &kvdb.KVPair{Key: "key", Value: []byte("value"), CreatedIndex: 3, ModifiedIndex: 7}
	_, err := kv.SnapPut(pair)
	require.NoError(t, err)
	got, err := kv.Get("key")
	require.NoError(t, err)
	require.Equal(t, uint64(3), got.CreatedIndex)
	require.Equal(t, uint64(7), got.ModifiedIndex)
	_, err = kv.Put("key", "value", 0)
	require.Equal(t, mem.ErrSnap, err)
	require.Equal(t, mem.ErrSnap, kv.WatchKey("key", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error { return nil }))
	_, err = kv.Delete("key")
	require.NoError(t, err)
	requireGone(t, kv, "key")
}
