package test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/portworx/kvdb"
)

var helperGroup = group{name: "Helpers", calls: "kvdb.Pairs, PairsWith, Events, GetAs, EnumerateAs, ModifyAs, Ping, WrappersOption", cases: []testCase{
	{name: "Pairs", run: helpersPairs},
	{name: "PairsWith", run: helpersPairsWith, needs: []*part{pagePart}},
	{name: "PairsWithFrom", run: helpersPairsWithFrom},
	{name: "PairsWhileOthersWrite", run: helpersPairsWhileOthersWrite},
	{name: "Events", run: helpersEvents, needs: []*part{watchPart}},
	{name: "Typed", run: helpersTyped},
	{name: "ModifyAs", run: helpersModifyAs},
	{name: "Ping", run: helpersPing},
	{name: "WrappersOption", run: helpersWrappersOption},
}}

// pages returns the pairs below prefix, read in pages of that size if the backend has pages.
func (e *env) pages(prefix string, size int) (pairs kvdb.KVPairs) {
	e.t.Helper()
	iterator := kvdb.Pairs(e.kv, prefix)
	if pager, ok := e.kv.(kvdb.Pager); ok {
		iterator = pager.EnumeratePages(prefix, size)
	}
	for pair, err := range iterator {
		e.NoError(err)
		pairs = append(pairs, pair)
	}
	return pairs
}

// withoutIndex returns pairs without the KVDBIndex, which differs between two reads.
func withoutIndex(pairs kvdb.KVPairs) []kvdb.KVPair {
	var all []kvdb.KVPair
	for _, pair := range pairs {
		p := *pair
		p.KVDBIndex = 0
		all = append(all, p)
	}
	return all
}

func helpersPairs(e *env) {
	for _, key := range e.sideBySide("dir/a", "dir/a/b", "dir/_h", "dir/c", "dir/d-", "dir/e", "dis", "a") {
		e.put(key, "value of "+key)
	}
	for _, prefix := range []string{"", "dir/", "di", "dir/a", "none"} {
		want, err := e.kv.Enumerate(prefix)
		e.NoError(err)
		for _, size := range []int{1, 2, 3, 100, 0} {
			e.Equal(withoutIndex(want), withoutIndex(e.pages(prefix, size)), "prefix %q in pages of %d", prefix, size)
		}
	}
	n := 0
	for _, err := range kvdb.Pairs(e.kv, "dir/") {
		e.NoError(err)
		if n++; n == 2 {
			break
		}
	}
	e.Equal(2, n)
}

// A key that is there throughout comes exactly once.
func helpersPairsWhileOthersWrite(e *env) {
	var staying []string
	for i := range 30 {
		staying = append(staying, fmt.Sprintf("dir/%02d", i))
		e.put(staying[i], "value")
	}
	peer := e.peer()
	comeAndGo := func(i int) error {
		key := staying[i%30] + "-comes-and-goes"
		if _, err := peer.Put(key, "value", 0); err != nil {
			return err
		}
		_, err := peer.Delete(key)
		return err
	}
	e.during(comeAndGo, 20, func(int) {
		var seen []string
		for _, pair := range e.pages("dir/", 4) {
			if len(pair.Key) == len(staying[0]) {
				seen = append(seen, pair.Key)
			}
		}
		e.Equal(staying, seen)
	})
}

func helpersEvents(e *env) {
	start := e.put("dir/before", "value").ModifiedIndex
	ctx, cancel := context.WithCancel(e.t.Context())
	defer cancel()
	events, err := kvdb.Events(ctx, e.kv, "dir/", start)
	e.NoError(err)
	ended, err := kvdb.Events(ctx, e.kv, "dir/", start)
	e.NoError(err)
	for i := range 3 {
		e.put("dir/"+strconv.Itoa(i), "value")
	}
	i := 0
	for pair, err := range events {
		e.NoError(err)
		e.Equal("dir/"+strconv.Itoa(i), pair.Key)
		e.Equal(kvdb.KVCreate, pair.Action)
		if i++; i == 3 {
			break
		}
	}
	for pair, err := range ended {
		if err != nil {
			e.is(kvdb.ErrWatchStopped, err)
			i = 0
			continue // it must be the last thing
		}
		e.NotNil(pair)
		e.Positive(i)
		cancel()
	}
	e.Zero(i, "the iterator of Events must yield the error that ended the watch last")
}

func helpersTyped(e *env) {
	e.put("dir/a", object{"a", 1})
	e.put("dir/b", object{"b", 2})
	value, pair, err := kvdb.GetAs[object](e.kv, "dir/b")
	e.NoError(err)
	e.Equal(object{"b", 2}, value)
	e.Equal("dir/b", pair.Key)
	_, _, err = kvdb.GetAs[object](e.kv, "missing")
	e.is(kvdb.ErrNotFound, err)
	all, err := kvdb.EnumerateAs[object](e.kv, "dir/")
	e.NoError(err)
	e.Len(all, 2)
	e.Equal(object{"a", 1}, all[0].Value)
	e.Equal("dir/b", all[1].Pair.Key)
	e.put("dir/c", "no JSON")
	_, err = kvdb.EnumerateAs[object](e.kv, "dir/")
	e.ErrorIs(err, kvdb.ErrUnmarshal)
	e.ErrorContains(err, "dir/c")
	_, pair, err = kvdb.GetAs[object](e.kv, "dir/c")
	e.ErrorIs(err, kvdb.ErrUnmarshal)
	e.Equal("no JSON", string(pair.Value))
}

func helpersModifyAs(e *env) {
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	e.concurrently(6, func(i int) error {
		for range 5 {
			_, err := kvdb.ModifyAs(kvs[i%2], "key", func(o object, exists bool) (object, error) {
				if exists != (o.Count > 0) {
					return o, fmt.Errorf("exists is %v at %v", exists, o)
				}
				o.Count++
				return o, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	value, _, err := kvdb.GetAs[object](e.kv, "key")
	e.NoError(err)
	e.Equal(30, value.Count)
	_, err = kvdb.ModifyAs(e.kv, "key", func(o object, _ bool) (object, error) { return o, errEnough })
	e.is(errEnough, err)
	again, _, err := kvdb.GetAs[object](e.kv, "key")
	e.NoError(err)
	e.Equal(value, again)
}

var registered atomic.Int64 // makes the names of backends for kvdb.New unique

// New stacks the wrappers that the option names, innermost first.
func helpersWrappersOption(e *env) {
	name := fmt.Sprint("kvdb-test-", registered.Add(1))
	e.NoError(kvdb.Register(name, e.suite.Init, nil))
	open := func(wrappers string) (kvdb.Kvdb, error) {
		options := e.options(map[string]string{kvdb.WrappersOption: wrappers})
		return kvdb.New(name, e.domain+"-own", e.suite.Endpoints, options, nil)
	}
	none, err := open("")
	e.NoError(err)
	e.Equal(kvdb.Wrapper_None, none.WrapperName())
	e.NoError(kvdb.Close(none))

	both, err := open("Wrapper_NoQuorum, Wrapper_Log")
	e.NoError(err)
	e.Equal(kvdb.Wrapper_Log, both.WrapperName())
	e.Equal(kvdb.Wrapper_NoQuorum, both.WrappedKvdb().WrapperName())
	_, err = both.Put("key", "value", 0)
	e.is(kvdb.ErrNoQuorum, err)
	logged, err := kvdb.RemoveWrapper(kvdb.Wrapper_NoQuorum, both)
	e.NoError(err)
	_, err = logged.Put("key", "value", 0)
	e.NoError(err)
	e.NoError(kvdb.Close(logged))

	_, err = open("Wrapper_Log,Wrapper_Unknown")
	e.ErrorIs(err, kvdb.ErrNotSupported)
	e.ErrorContains(err, kvdb.WrappersOption)
	e.ErrorContains(err, "Wrapper_Unknown")
}

// Ping needs nothing to be in the store, and leaves nothing there.
func helpersPing(e *env) {
	e.NoError(kvdb.Ping(context.Background(), e.kv))
	pairs, err := e.kv.Enumerate("")
	e.NoError(err)
	e.Empty(pairs)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e.ErrorIs(kvdb.Ping(ctx, e.kv), context.Canceled)
}
