package kvdb_test

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

type counter struct{ N int }

func TestGetAs(t *testing.T) {
	kv := newMem(t, nil)
	written, err := kv.Put("a", counter{3}, 0)
	require.NoError(t, err)
	value, pair, err := kvdb.GetAs[counter](kv, "a")
	require.NoError(t, err)
	require.Equal(t, counter{3}, value)
	require.Equal(t, written.ModifiedIndex, pair.ModifiedIndex)

	value, pair, err = kvdb.GetAs[counter](kv, "none")
	require.Equal(t, kvdb.ErrNotFound, err)
	require.Zero(t, value)
	require.Nil(t, pair)

	put(t, kv, "text")
	_, pair, err = kvdb.GetAs[counter](kv, "text")
	require.ErrorIs(t, err, kvdb.ErrUnmarshal)
	require.ErrorContains(t, err, `"text"`)
	var cause *json.SyntaxError
	require.ErrorAs(t, err, &cause)
	require.Equal(t, "text", string(pair.Value))
}

func TestEnumerateAs(t *testing.T) {
	kv := newMem(t, nil)
	for key, value := range map[string]int{"a/2": 2, "a/1": 1, "b": 3} {
		_, err := kv.Put(key, counter{value}, 0)
		require.NoError(t, err)
	}
	typed, err := kvdb.EnumerateAs[counter](kv, "a/")
	require.NoError(t, err)
	require.Len(t, typed, 2)
	require.Equal(t, counter{1}, typed[0].Value)
	require.Equal(t, "a/1", typed[0].Pair.Key)
	require.Equal(t, counter{2}, typed[1].Value)

	typed, err = kvdb.EnumerateAs[counter](kv, "none")
	require.NoError(t, err)
	require.Empty(t, typed)

	put(t, kv, "a/3")
	_, err = kvdb.EnumerateAs[counter](kv, "a/")
	require.ErrorIs(t, err, kvdb.ErrUnmarshal)
	require.ErrorContains(t, err, "a/3")
}

func increment(c counter, _ bool) (counter, error) { return counter{c.N + 1}, nil }

// No increment is lost when several goroutines increment.
func TestModifyAsConcurrently(t *testing.T) {
	const goroutines, each = 8, 25
	kv := newMem(t, nil)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				if _, err := kvdb.ModifyAs(kv, "a", increment); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	value, _, err := kvdb.GetAs[counter](kv, "a")
	require.NoError(t, err)
	require.Equal(t, counter{goroutines * each}, value)
}

// modify gets the present value, and gets it again if another writer was faster.
func TestModifyAs(t *testing.T) {
	kv := newMem(t, nil)
	_, err := kv.Put("a", counter{1}, 0)
	require.NoError(t, err)
	interferences := []func() error{
		func() error { _, err := kv.Put("a", counter{10}, 0); return err },
		func() error { _, err := kv.Delete("a"); return err },
		func() error { _, err := kv.Put("a", counter{20}, 0); return err },
	}
	type call struct {
		value  counter
		exists bool
	}
	calls := []call{}
	pair, err := kvdb.ModifyAs(kv, "a", func(value counter, exists bool) (counter, error) {
		calls = append(calls, call{value, exists})
		if len(interferences) > 0 {
			require.NoError(t, interferences[0]())
			interferences = interferences[1:]
		}
		return counter{value.N + 1}, nil
	})
	require.NoError(t, err)
	require.Equal(t, `{"N":21}`, string(pair.Value))
	require.Equal(t, []call{{counter{1}, true}, {counter{10}, true}, {counter{}, false}, {counter{20}, true}}, calls)
	got, err := kv.Get("a")
	require.NoError(t, err)
	require.Equal(t, pair.ModifiedIndex, got.ModifiedIndex)
	require.Equal(t, pair.Value, got.Value)
}

func TestModifyAsFails(t *testing.T) {
	kv := newMem(t, nil)
	unwanted := errors.New("unwanted")
	_, err := kvdb.ModifyAs(kv, "a", func(counter, bool) (counter, error) { return counter{}, unwanted })
	require.Equal(t, unwanted, err)
	_, err = kvdb.ModifyAs(kv, "a", func(any, bool) (any, error) { return func() {}, nil })
	require.ErrorIs(t, err, kvdb.ErrIllegal)
	_, err = kv.Get("a")
	require.Equal(t, kvdb.ErrNotFound, err)

	put(t, kv, "text")
	_, err = kvdb.ModifyAs(kv, "text", increment)
	require.ErrorIs(t, err, kvdb.ErrUnmarshal)
	_, err = kvdb.ModifyAs(kv, "", increment)
	require.ErrorIs(t, err, kvdb.ErrIllegal)
}
