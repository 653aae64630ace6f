package test

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/portworx/kvdb"
)

var readGroup = group{name: "Reads", calls: "Get, GetVal, Enumerate, Keys", cases: []testCase{
	{name: "Sorted", run: readsSorted},
	{name: "Nothing", run: readsNothing},
	{name: "SeeEarlierWrites", run: readsSeeEarlierWrites},
	{name: "SeeWritesOfPeers", run: readsSeeWritesOfPeers},
	{name: "EnumerateIsOneMoment", run: readsEnumerateIsOneMoment},
	{name: "KeysIsOneMoment", run: readsKeysIsOneMoment},
	{name: "Many", run: readsMany},
	{name: "ReadConsistency", run: readsConsistency},
}}

func readsSorted(e *env) {
	keys := e.sideBySide("b", "a", "a/c", "a-b", "a/b/c", "a0", "B", "ä", "z", "aa")
	for _, key := range keys {
		e.put(key, "value of "+key)
	}
	pairs, err := e.kv.Enumerate("")
	e.NoError(err)
	slices.Sort(keys)
	e.Equal(keys, keysOf(pairs), "Enumerate must return pairs sorted by key, in byte order")
	for _, pair := range pairs {
		e.Equal("value of "+pair.Key, string(pair.Value), "the value of %q in the list", pair.Key)
	}
}

func readsNothing(e *env) {
	pairs, err := e.kv.Enumerate("")
	e.NoError(err)
	e.Empty(pairs)
	pairs, err = e.kv.Enumerate("none/")
	e.NoError(err)
	e.Empty(pairs)
	e.missing("none", "none/below")
	e.put("dir/key", "value")
	e.missing("dir", "dir/", "dir/k")
}

// A read sees every write that has returned, whoever made it.
func readsSeeEarlierWrites(e *env) {
	peer := e.peer()
	for i := range 20 {
		value := strconv.Itoa(i)
		_, err := peer.Put("key", value, 0)
		e.NoError(err)
		e.holds("key", value)
		_, err = e.kv.Create(value, "x", 0)
		e.NoError(err)
		pairs, err := peer.Enumerate("")
		e.NoError(err)
		e.Len(pairs, i+2, "a list must show every write that has returned, whoever made it")
		names, err := peer.Keys("", "")
		e.NoError(err)
		e.Len(names, i+2, "Keys must show every write that has returned, whoever made it")
	}
}

// Instances on different members, some of which lag behind, see it too.
func readsSeeWritesOfPeers(e *env) {
	kvs := []kvdb.Kvdb{e.kv}
	for range 5 {
		e.first++
		kvs = append(kvs, e.peer())
	}
	for round := range 60 {
		value := strconv.Itoa(round)
		pair, err := kvs[round%len(kvs)].Put("key", value, 0)
		e.NoError(err)
		e.concurrently(len(kvs), func(i int) error {
			read, err := kvs[i].Get("key")
			if err == nil && read.ModifiedIndex != pair.ModifiedIndex {
				err = fmt.Errorf("a read saw %q after %q", read.Value, value)
			}
			return err
		})
	}
}

// A writer writes a counter to one key and then to another. At every moment the second is
// equal to the first, or behind by one.
func readsEnumerateIsOneMoment(e *env) {
	e.during(e.counting(), 200, func(int) {
		pairs, err := e.kv.Enumerate("")
		e.NoError(err)
		e.Equal([]string{"1-late", "2-early"}, keysOf(pairs), "the keys of the list")
		late, err := strconv.Atoi(string(pairs[0].Value))
		e.NoError(err)
		early, err := strconv.Atoi(string(pairs[1].Value))
		e.NoError(err)
		e.True(late == early || late == early-1, "a list shows write %d of one key beside write %d of another; it must show one moment", late, early)
	})
}

// counting returns a function that writes a counter to "2-early" and then to "1-late".
func (e *env) counting() func(i int) error {
	e.t.Helper()
	e.put("1-late", "0")
	e.put("2-early", "0")
	peer := e.peer()
	return func(i int) error {
		if _, err := peer.Put("2-early", strconv.Itoa(i+1), 0); err != nil {
			return err
		}
		_, err := peer.Put("1-late", strconv.Itoa(i+1), 0)
		return err
	}
}

// A writer moves a key: it creates the next name and then deletes the previous one. At
// every moment there is one name, or there are two that follow each other.
func readsKeysIsOneMoment(e *env) {
	name := func(i int) string { return "dir/" + strconv.Itoa(9_000_000-i) }
	e.put(name(0), "value")
	peer := e.peer()
	move := func(i int) error {
		if _, err := peer.Create(name(i+1), "value", 0); err != nil {
			return err
		}
		_, err := peer.Delete(name(i))
		return err
	}
	e.during(move, 200, func(int) {
		names, err := e.kv.Keys("dir", "")
		e.NoError(err)
		e.NotEmpty(names, "Keys must show one moment, and at every moment there is a name")
		first, err := strconv.Atoi(names[0])
		e.NoError(err)
		if len(names) > 1 {
			e.Equal([]string{strconv.Itoa(first), strconv.Itoa(first + 1)}, names, "the names must be those of one moment")
		}
	})
}

func readsMany(e *env) {
	const writers, each = 16, 40
	e.concurrently(writers, func(i int) error {
		for j := range each {
			if _, err := e.kv.Put(manyKey(i*each+j), manyKey(i*each+j), 0); err != nil {
				return err
			}
		}
		return nil
	})
	pairs, err := e.kv.Enumerate("many/")
	e.NoError(err)
	e.Len(pairs, writers*each)
	for i, pair := range pairs {
		e.Equal(manyKey(i), pair.Key, "Enumerate must return pairs sorted by key, in byte order")
		e.Equal(manyKey(i), string(pair.Value))
	}
	names, err := e.kv.Keys("many", "")
	e.NoError(err)
	e.Len(names, writers*each)
	e.NoError(e.kv.DeleteTree("many"))
	e.Empty(e.enumerate("many"))
}

func manyKey(i int) string { return "many/" + strconv.Itoa(10_000+i) }

// Every store knows the option, and refuses unknown values.
func readsConsistency(e *env) {
	for _, mode := range []string{kvdb.ReadLinearizable, kvdb.ReadStale} {
		kv := e.openWith(e.domain+mode, map[string]string{kvdb.ReadConsistency: mode}, nil)
		_, err := kv.Put("key", "value", 0)
		e.NoError(err)
		e.eventually(func() bool { _, err := kv.Get("key"); return err == nil }, "Get returns the value")
	}
	_, err := e.tryOpen(e.domain, map[string]string{kvdb.ReadConsistency: "eventual"}, nil)
	e.ErrorContains(err, kvdb.ReadConsistency)
	e.ErrorContains(err, "eventual")
}
