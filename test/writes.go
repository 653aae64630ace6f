package test

import (
	"slices"
	"strconv"

	"github.com/portworx/kvdb"
)

var writeGroup = group{name: "Writes", calls: "Put, Create, Update, Delete, DeleteTree", cases: []testCase{
	{name: "Pairs", run: writesPairs},
	{name: "PairsOfReads", run: writesPairsOfReads},
	{name: "Conditions", run: writesConditions},
	{name: "ExistingPair", run: writesExistingPair},
	{name: "IndexesGrow", run: writesIndexesGrow},
	{name: "IndexesOfConcurrentWrites", run: writesIndexesOfConcurrentWrites},
	{name: "CreatedIndexOfANewLife", run: writesCreatedIndexOfANewLife},
	{name: "OneCreateWins", run: writesOneCreateWins},
	{name: "OneDeleteWins", run: writesOneDeleteWins},
	{name: "UpdateNeverCreates", run: writesUpdateNeverCreates},
	{name: "NilPairs", run: writesNilPairs},
}}

// Rules that several cases assert.
const (
	indexesGrow  = "each write must get a larger index than all writes before"
	createdStays = "the CreatedIndex must stay that of the write that created the key"
)

// acted asserts the Action of a pair or an event. of says which it is.
func (e *env) acted(want kvdb.KVAction, pair *kvdb.KVPair, of string) {
	e.t.Helper()
	e.True(want == pair.Action, "the Action in %s must be %v, not %v", of, want, pair.Action)
}

// pairIs asserts the fields of the pair that a call returned.
func (e *env) pairIs(call string, pair *kvdb.KVPair, key, value string, action kvdb.KVAction, created, modified uint64) {
	e.t.Helper()
	e.Equal(key, pair.Key, "the Key in the pair that %s returned", call)
	e.Equal(value, string(pair.Value), "the Value in the pair that %s returned", call)
	e.acted(action, pair, "the pair that "+call+" returned")
	e.Equal(created, pair.CreatedIndex, "the CreatedIndex in the pair that %s returned; "+createdStays, call)
	e.Equal(modified, pair.ModifiedIndex, "the ModifiedIndex in the pair that %s returned", call)
	e.GreaterOrEqual(pair.KVDBIndex, pair.ModifiedIndex, "the KVDBIndex in the pair that %s returned", call)
}

func writesPairs(e *env) {
	created, err := e.kv.Create("key", "1", 0)
	e.NoError(err)
	e.Positive(created.ModifiedIndex)
	e.pairIs("Create", created, "key", "1", kvdb.KVCreate, created.CreatedIndex, created.CreatedIndex)
	last := created.ModifiedIndex
	for call, write := range map[string]func(value string) (*kvdb.KVPair, error){
		"Put":    func(value string) (*kvdb.KVPair, error) { return e.kv.Put("key", value, 0) },
		"Update": func(value string) (*kvdb.KVPair, error) { return e.kv.Update("key", value, 0) },
		"CompareAndSet": func(value string) (*kvdb.KVPair, error) {
			return e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte(value)}, kvdb.KVPrevExists, nil)
		},
	} {
		pair, err := write("by " + call)
		e.NoError(err)
		e.Greater(pair.ModifiedIndex, last, "the ModifiedIndex in the pair that %s returned; "+indexesGrow, call)
		e.pairIs(call, pair, "key", "by "+call, kvdb.KVSet, created.CreatedIndex, pair.ModifiedIndex)
		e.Zero(pair.TTL)
		last = pair.ModifiedIndex
	}
	first := e.put("other", "x")
	e.pairIs("Put of a new key", first, "other", "x", kvdb.KVSet, first.ModifiedIndex, first.ModifiedIndex)

	put := e.put("key", "last")
	old, err := e.kv.Delete("key")
	e.NoError(err)
	e.pairIs("Delete", old, "key", "last", kvdb.KVDelete, created.CreatedIndex, put.ModifiedIndex)
	e.Greater(old.KVDBIndex, put.ModifiedIndex, "the KVDBIndex in the pair that Delete returned, which is the index of the delete")
	e.Greater(e.put("key", "again").ModifiedIndex, old.KVDBIndex, indexesGrow)
	put = e.put("other", "y")
	old, err = e.kv.CompareAndDelete(&kvdb.KVPair{Key: "other", Value: []byte("y")}, 0)
	e.NoError(err)
	e.pairIs("CompareAndDelete", old, "other", "y", kvdb.KVDelete, first.CreatedIndex, put.ModifiedIndex)
	e.Greater(old.KVDBIndex, put.ModifiedIndex, "the KVDBIndex in the pair that CompareAndDelete returned, which is the index of the delete")
}

func writesPairsOfReads(e *env) {
	created := e.put("key", "1")
	put := e.put("key", `"2"`)
	later := e.put("other", "x")
	check := func(call string, pair *kvdb.KVPair) {
		e.t.Helper()
		e.pairIs(call, pair, "key", `"2"`, kvdb.KVGet, created.CreatedIndex, put.ModifiedIndex)
		e.GreaterOrEqual(pair.KVDBIndex, later.ModifiedIndex, "the KVDBIndex in the pair that %s returned, which is the store's index at the reply", call)
	}
	pair, err := e.kv.Get("key")
	e.NoError(err)
	check("Get", pair)
	var value string
	pair, err = e.kv.GetVal("key", &value)
	e.NoError(err)
	check("GetVal", pair)
	pairs, err := e.kv.Enumerate("key")
	e.NoError(err)
	check("Enumerate", pairs[0])
	pairs, err = e.kv.EnumerateKVPWithSelect("key",
		func(pair *kvdb.KVPair, _ interface{}) bool { check("select callback", pair); return true },
		func(pair *kvdb.KVPair, _ interface{}) *kvdb.KVPair { return pair })
	e.NoError(err)
	check("EnumerateKVPWithSelect", pairs[0])
}

func writesConditions(e *env) {
	_, err := e.kv.Update("key", "x", 0)
	e.is(kvdb.ErrNotFound, err)
	_, err = e.kv.Delete("key")
	e.is(kvdb.ErrNotFound, err)
	e.missing("key")
	put := e.put("key", "value")
	_, err = e.kv.Create("key", "x", 0)
	e.is(kvdb.ErrExist, err)
	_, err = e.kv.Create("key", "value", 0)
	e.is(kvdb.ErrExist, err)
	e.Equal(put.ModifiedIndex, e.holds("key", "value").ModifiedIndex)
	_, err = e.kv.Delete("key")
	e.NoError(err)
	e.missing("key")
	_, err = e.kv.Delete("key")
	e.is(kvdb.ErrNotFound, err)
	_, err = e.kv.Update("key/below", "x", 0)
	e.is(kvdb.ErrNotFound, err)
}

// Create of a key that exists returns the existing pair with its error, or none.
func writesExistingPair(e *env) {
	created := e.put("key", "1")
	put := e.put("key", "2")
	later := e.put("other", "x")
	if e.traits.ExistingPair {
		e.except("`Create` returns the existing pair with `ErrExist`")
	}
	for _, kv := range []kvdb.Kvdb{e.kv, e.peer(), kvdb.WithContext(e.t.Context(), e.kv)} {
		existing, err := kv.Create("key", "new", 0)
		e.is(kvdb.ErrExist, err)
		if !e.traits.ExistingPair {
			e.Nil(existing, "Create of a key that exists must return no pair, unless Traits.ExistingPair is set")
			continue
		}
		e.pairIs("Create", existing, "key", "2", kvdb.KVGet, created.CreatedIndex, put.ModifiedIndex)
		e.GreaterOrEqual(existing.KVDBIndex, later.ModifiedIndex, "the KVDBIndex in the pair that Create returned, which is the index of the store at the reply")
		existing.Value[0] = '!'
		e.holds("key", "2")
	}
	e.NoError(e.kv.DeleteTree(""))
	_, err := e.kv.Create("key", "new", 0)
	e.NoError(err)
}

// Of two writes to any keys of one store the later has the larger index.
func writesIndexesGrow(e *env) {
	peer, last := e.peer(), uint64(0)
	grows := func(index uint64, err error) {
		e.t.Helper()
		e.NoError(err)
		e.Greater(index, last, indexesGrow)
		last = index
	}
	for i := range 10 {
		key := strconv.Itoa(i % 3)
		pair, err := e.kv.Put(key, "value", 0)
		grows(pair.ModifiedIndex, err)
		pair, err = peer.Put("peer", "value", 0)
		grows(pair.ModifiedIndex, err)
		pair, err = peer.Delete(key)
		grows(pair.KVDBIndex, err)
		pair, err = e.kv.Create(key, "value", 0)
		grows(pair.ModifiedIndex, err)
		if !e.traits.NoTx {
			_, err = e.txPut("tx", "value")
			e.NoError(err)
			grows(e.holds("tx", "value").ModifiedIndex, nil)
		}
	}
}

// Each write has an index of its own, and the write with the largest index is the last.
func writesIndexesOfConcurrentWrites(e *env) {
	const writers, writes = 8, 12
	indexes := make([][]uint64, writers)
	values := map[uint64]string{}
	e.concurrently(writers, func(i int) error {
		for j := range writes {
			pair, err := e.kv.Put("key", strconv.Itoa(i*writes+j), 0)
			if err != nil {
				return err
			}
			indexes[i] = append(indexes[i], pair.ModifiedIndex)
		}
		return nil
	})
	for i, own := range indexes {
		e.IsIncreasing(own, indexesGrow)
		for j, index := range own {
			e.NotContains(values, index, "two writes have one index; "+indexesGrow)
			values[index] = strconv.Itoa(i*writes + j)
		}
	}
	pair, err := e.kv.Get("key")
	e.NoError(err)
	e.Equal(values[pair.ModifiedIndex], string(pair.Value), "the value must be that of the write with the ModifiedIndex")
	e.Equal(slices.Max(slices.Concat(indexes...)), pair.ModifiedIndex, "the write with the largest index must be the last")
	e.Equal(slices.Min(slices.Concat(indexes...)), pair.CreatedIndex, createdStays)
}

func writesCreatedIndexOfANewLife(e *env) {
	first := e.put("key", "1")
	e.put("key", "2")
	e.Equal(first.CreatedIndex, e.holds("key", "2").CreatedIndex, createdStays)
	old, err := e.kv.Delete("key")
	e.NoError(err)
	e.Equal(first.CreatedIndex, old.CreatedIndex, "in the pair that Delete returned; "+createdStays)
	second := e.put("key", "3")
	e.Greater(second.CreatedIndex, old.KVDBIndex, indexesGrow+"; a key that is created after a delete has a new CreatedIndex")
	e.Equal(second.CreatedIndex, e.holds("key", "3").CreatedIndex, createdStays)
	e.put("dir/key", "1")
	e.NoError(e.kv.DeleteTree("dir"))
	third := e.put("dir/key", "2")
	e.Equal(third.ModifiedIndex, third.CreatedIndex, "the CreatedIndex of a key that is created after DeleteTree must be the index of that write")
}

// wins asserts that one of the callers of f succeeded and the others got want.
func (e *env) wins(want error, f func(i int) error) {
	e.t.Helper()
	winners := 0
	for _, err := range concurrently(12, f) {
		if err == nil {
			winners++
			continue
		}
		e.is(want, err)
	}
	e.Equal(1, winners, "the number of callers that succeeded; of several with the same condition exactly one must")
}

func writesOneCreateWins(e *env) {
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	for round := range 5 {
		key := strconv.Itoa(round)
		e.wins(kvdb.ErrExist, func(i int) error {
			_, err := kvs[i%2].Create(key, "the same", 0)
			return err
		})
	}
}

func writesOneDeleteWins(e *env) {
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	for range 5 {
		put := e.put("key", "value")
		e.wins(kvdb.ErrNotFound, func(i int) error {
			_, err := kvs[i%2].Delete("key")
			return err
		})
		put = e.put("key", "value")
		e.wins(kvdb.ErrNotFound, func(i int) error {
			_, err := kvs[i%2].CompareAndDelete(put, kvdb.KVModifiedIndex)
			return err
		})
	}
}

// An Update changes an existing key or fails, while others delete and create the key.
func writesUpdateNeverCreates(e *env) {
	peer := e.peer()
	comeAndGo := func(int) error {
		if _, err := peer.Create("key", "created", 0); err != nil {
			return err
		}
		_, err := peer.Delete("key")
		return err
	}
	e.during(comeAndGo, 100, func(int) {
		set := &kvdb.KVPair{Key: "key", Value: []byte("set")}
		for _, write := range []func() (*kvdb.KVPair, error){
			func() (*kvdb.KVPair, error) { return e.kv.Update("key", "updated", 0) },
			func() (*kvdb.KVPair, error) { return e.kv.CompareAndSet(set, kvdb.KVPrevExists, nil) },
		} {
			pair, err := write()
			if err != nil {
				e.is(kvdb.ErrNotFound, err)
				continue
			}
			e.Less(pair.CreatedIndex, pair.ModifiedIndex, "an update must not create the key: its CreatedIndex must be smaller than its ModifiedIndex")
		}
	})
	e.missing("key")
}

// Bad input causes an error, not a panic.
func writesNilPairs(e *env) {
	pair, unknown := e.put("key", "value"), kvdb.KVFlags(1<<40)
	for call, f := range map[string]func() error{
		"CompareAndSet, no such flag":    func() error { _, err := e.kv.CompareAndSet(pair, unknown, nil); return err },
		"CompareAndDelete, no such flag": func() error { _, err := e.kv.CompareAndDelete(pair, unknown); return err },

		"CompareAndSet":    func() error { _, err := e.kv.CompareAndSet(nil, kvdb.KVModifiedIndex, nil); return err },
		"CompareAndDelete": func() error { _, err := e.kv.CompareAndDelete(nil, 0); return err },
		"SnapPut":          func() error { _, err := e.kv.SnapPut(nil); return err },
		"Unlock":           func() error { return e.kv.Unlock(nil) },
		"WatchKey":         func() error { return e.kv.WatchKey("key", 0, nil, nil) },
		"WatchTree":        func() error { return e.kv.WatchTree("", 0, nil, nil) },
	} {
		e.NotPanics(func() { e.Error(f(), call) }, call)
	}
	e.holds("key", "value")
}
