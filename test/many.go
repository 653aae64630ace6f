package test

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/portworx/kvdb"
)

var manyGroup = group{name: "PutMany", calls: "kvdb.PutMany", cases: []testCase{
	{name: "Content", run: manyContent},
	{name: "Order", run: manyOrder},
	{name: "LargeValues", run: manyLargeValues},
	{name: "BadPair", run: manyBadPair},
	{name: "Guard", run: manyGuard, needs: []*part{lockPart}},
}}

// sequence returns pairs as an iterator.
func sequence(pairs kvdb.KVPairs) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		for _, pair := range pairs {
			if !yield(pair, nil) {
				return
			}
		}
	}
}

// valuesOf returns the values in content by key, without those of some keys.
func valuesOf(content map[string]kvdb.KVPair, without ...string) map[string]string {
	values := map[string]string{}
	for key, pair := range content {
		if !slices.Contains(without, key) {
			values[key] = string(pair.Value)
		}
	}
	return values
}

// putMany writes all pairs, and asserts what Written says.
func (e *env) putMany(pairs kvdb.KVPairs, o kvdb.ManyOptions) {
	e.t.Helper()
	written, err := kvdb.PutMany(e.t.Context(), e.kv, sequence(pairs), o)
	e.NoError(err)
	e.Equal(len(pairs), written.Pairs)
	e.Equal(len(pairs), written.Through)
}

// All pairs are there afterwards, also those that existed before, with their TTLs. Those that
// stand for deletions are not.
func manyContent(e *env) {
	const pairs = 700 // more than a transaction takes
	var all kvdb.KVPairs
	want := map[string]string{"stays": "value"}
	for i := range pairs {
		pair := &kvdb.KVPair{Key: fmt.Sprintf("dir/%03d", i), Value: fmt.Appendf(nil, "value %d", i)}
		switch {
		case i%5 == 0:
			pair.Action = []kvdb.KVAction{kvdb.KVDelete, kvdb.KVExpire}[i%2]
		case i%7 == 0 && !e.traits.NoTTL:
			pair.TTL = someTTL
		}
		if i%5 != 0 {
			want[pair.Key] = string(pair.Value)
		}
		all = append(all, pair)
	}
	for i := 0; i < pairs; i += 10 {
		e.put(all[i].Key, "before")
		e.put(all[i+1].Key, all[i+1].Value)
	}
	e.put("stays", "value")
	for range 2 { // over nothing or other values, and over the same values
		began := time.Now()
		e.putMany(all, kvdb.ManyOptions{})
		e.Equal(want, valuesOf(e.content(e.kv)))
		if !e.traits.NoTTL && !e.lacks(ttlPart) {
			e.hasTTL(e.kv, "dir/007", someTTL, began)
			e.noTTL(e.kv, "dir/006")
		}
	}
	for _, pair := range all {
		pair.Action = kvdb.KVDelete
	}
	e.putMany(all, kvdb.ManyOptions{Workers: 2})
	e.Equal(map[string]string{"stays": "value"}, valuesOf(e.content(e.kv)))
}

// Pairs of one key are written in their order.
func manyOrder(e *env) {
	const keys, pairs = 20, 400
	var all kvdb.KVPairs
	for i := range pairs {
		all = append(all, &kvdb.KVPair{Key: fmt.Sprint("key", i*i%keys), Value: fmt.Appendf(nil, "%06d", i)})
	}
	r := e.watchTree("key", e.index())
	var reports []kvdb.Written
	e.putMany(all, kvdb.ManyOptions{Workers: 8, Report: func(w kvdb.Written) { reports = append(reports, w) }})
	e.True(slices.IsSortedFunc(reports, func(a, b kvdb.Written) int { return a.Through - b.Through }), "%v", reports)
	latest := map[string]string{}
	for _, pair := range all {
		latest[pair.Key] = string(pair.Value)
	}
	e.Equal(latest, valuesOf(e.content(e.kv), "before"))
	e.put("key-end", "value")
	if r == nil {
		return
	}
	seen := map[string]string{}
	for _, event := range r.until("key-end") {
		e.Less(seen[event.Key], string(event.Value), "the pairs of %q must be written in their order", event.Key)
		seen[event.Key] = string(event.Value)
	}
}

// Values that are too large for transactions, or for several in one, are written too.
func manyLargeValues(e *env) {
	size := 1 << 20
	if l, known := e.limits(); known && l.MaxValue > 0 {
		size = min(size, l.MaxValue)
	}
	var all kvdb.KVPairs
	for i, n := range []int{size, 1, size / 2, size / 2, size / 3, size - 1, 1} {
		value := make([]byte, n)
		value[0] = byte('a' + i)
		all = append(all, &kvdb.KVPair{Key: fmt.Sprint("large", i), Value: value})
	}
	e.putMany(all, kvdb.ManyOptions{})
	for _, pair := range all {
		found, err := e.kv.Get(pair.Key)
		e.NoError(err)
		e.True(slices.Equal(pair.Value, found.Value), "the value at %q must be the one written", pair.Key)
	}
}

// The pairs before one that cannot be written are written.
func manyBadPair(e *env) {
	all := kvdb.KVPairs{{Key: "a", Value: []byte("value")}, {Key: "b", Value: []byte("value")}, {}}
	written, err := kvdb.PutMany(e.t.Context(), e.kv, sequence(all), kvdb.ManyOptions{})
	e.ErrorIs(err, kvdb.ErrIllegal)
	e.Equal(2, written.Through)
	e.holds("a", "value")
	e.holds("b", "value")
}

// With a lock as the guard nothing is written once the lock is not held.
func manyGuard(e *env) {
	lock := e.lock(e.kv, "lock", "me")
	var all kvdb.KVPairs
	for i := range 300 {
		all = append(all, &kvdb.KVPair{Key: fmt.Sprintf("dir/%03d", i), Value: []byte("value")})
	}
	e.putMany(all, kvdb.ManyOptions{Guard: lock})
	e.Len(e.enumerate("dir/"), len(all))
	e.NoError(e.kv.DeleteTree("dir"))
	e.NoError(e.kv.Unlock(lock))
	if e.traits.SingleKeyTx || e.traits.NoTx {
		e.except("a guard that was released does not end `PutMany`")
		return
	}
	written, err := kvdb.PutMany(e.t.Context(), e.kv, sequence(all), kvdb.ManyOptions{Guard: lock})
	e.ErrorIs(err, kvdb.ErrInvalidLock)
	e.Zero(written)
	e.Empty(e.enumerate("dir/"))
}
