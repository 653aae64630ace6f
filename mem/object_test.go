package mem_test

import (
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

// Callbacks get the very object that was put; all else sees its encoding.
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

	// Through a transaction, and in a snapshot, it is the same.
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

// Without the option nothing of the caller's is kept.
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
		require.Equal(t, "second", string(pairs[1].Value), "values of one result are apart")
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
