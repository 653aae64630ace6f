package test

import (
	"iter"
	"strings"

	"github.com/portworx/kvdb"
)

// helpersPairsWith asserts that the options of kvdb.PairsWith mean the same on the instance, on
// a view of it, and on a snapshot.
func helpersPairsWith(e *env) {
	keys := e.listed(e.sideBySide("_top", "a", "dir/_h", "dir/a", "dir/a/b", "dir/c", "dir/d-", "dis", "e")...)
	for _, key := range e.sideBySide("_top", "a", "dir/_h", "dir/a", "dir/a/b", "dir/c", "dir/d-", "dis", "e") {
		e.put(key, "value of "+key)
	}
	kvs := map[string]kvdb.Kvdb{"the instance": e.kv, "a view": kvdb.WithContext(e.t.Context(), e.kv)}
	if !e.lacks(snapshotPart) {
		kvs["a snapshot"], _ = e.snapshot()
	}
	for name, kv := range kvs {
		for i, prefix := range []string{"", "dir/", "di", "none"} {
			for _, from := range []string{"", "0", "dir/a", "dir/b", "dir/c\x00", "zz"} {
				o := kvdb.PageOptions{From: from, Size: []int{1, 3, 0, 2}[i]}
				for _, o.Hidden = range []bool{false, true} {
					for _, o.KeysOnly = range []bool{false, true} {
						e.pagesAre(kvdb.PairsWith(kv, prefix, o), keys, prefix, o, name)
					}
				}
			}
		}
	}
}

// pagesAre asserts that an iterator of kvdb.PairsWith yields those of keys that the prefix and
// the options select.
func (e *env) pagesAre(pairs iter.Seq2[*kvdb.KVPair, error], keys []string, prefix string, o kvdb.PageOptions, of string) {
	e.t.Helper()
	want, got := []string{}, []string{}
	for _, key := range keys {
		hidden := strings.HasPrefix(key[strings.LastIndexByte(key, '/')+1:], "_")
		if strings.HasPrefix(key, prefix) && key >= o.From && (o.Hidden || !hidden) {
			want = append(want, key)
		}
	}
	for pair, err := range pairs {
		e.NoError(err)
		got = append(got, pair.Key)
		value := "value of " + pair.Key
		if o.KeysOnly {
			e.Nil(pair.Value, "the value of a pair that PairsWith returned with the option KeysOnly")
			value = ""
		}
		e.Equal(value, string(pair.Value), "the value of %q", pair.Key)
		e.acted(kvdb.KVGet, pair, "PairsWith")
		e.Positive(pair.CreatedIndex, "the CreatedIndex of a pair that PairsWith returned")
		e.Positive(pair.ModifiedIndex, "the ModifiedIndex of a pair that PairsWith returned")
	}
	e.Equal(want, got, "the keys that PairsWith of %s returned for prefix %q and %+v", of, prefix, o)
}

// The options From, KeysOnly and Size need no support of the store.
func helpersPairsWithFrom(e *env) {
	keys := e.sideBySide("dir/a", "dir/b", "dir/c", "dir/d")
	for _, key := range keys {
		e.put(key, "value of "+key)
	}
	for _, o := range []kvdb.PageOptions{
		{}, {From: "dir/b"}, {From: "dir/b0", Size: 1}, {From: "dir/c", KeysOnly: true, Size: 2}, {From: "e"},
	} {
		e.pagesAre(kvdb.PairsWith(e.kv, "dir/", o), keys, "dir/", o, "the instance")
	}
}
