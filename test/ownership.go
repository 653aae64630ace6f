package test

import (
	"bytes"
	"maps"
	"math"
	"slices"

	"github.com/portworx/kvdb"
)

// The caller may change everything that it passed in or got back. Nobody else sees that.
var ownershipGroup = group{name: "Ownership", cases: []testCase{
	{name: "OptionsAndEndpoints", run: ownershipOptionsAndEndpoints},
	{name: "PairsGiven", run: ownershipPairsGiven},
	{name: "PairsReturned", run: ownershipPairsReturned},
	{name: "Lists", run: ownershipLists},
	{name: "Events", run: ownershipEvents, needs: []*part{watchPart}},
	{name: "Snapshots", run: ownershipSnapshots, needs: []*part{snapshotPart}},
	{name: "Serialized", run: ownershipSerialized},
	{name: "Locks", run: ownershipLocks, needs: []*part{lockPart}},
	{name: "Transactions", run: ownershipTransactions},
	{name: "Members", run: ownershipMembers},
}}

// scribble changes everything in a pair, and the memory up to the capacity of its value.
func scribble(pairs ...*kvdb.KVPair) {
	for _, pair := range pairs {
		scribbleOn(pair.Value)
		*pair = kvdb.KVPair{
			Key: "scribbled", Value: []byte("scribbled"), Action: kvdb.KVUknown, TTL: math.MinInt64, KVDBIndex: 1 << 50,
			CreatedIndex: 1 << 51, ModifiedIndex: 1 << 52, Lock: pair.Lock,
		}
	}
}

func scribbleOn(value []byte) {
	value = value[:cap(value)]
	for i := range value {
		value[i] = '!'
	}
}

func ownershipOptionsAndEndpoints(e *env) {
	endpoints, options := slices.Clone(e.suite.Endpoints), maps.Clone(e.suite.Options)
	kv, err := e.suite.Init(e.domain, endpoints, options, nil)
	e.NoError(err)
	e.instances = append(e.instances, kv)
	e.Equal(e.suite.Endpoints, endpoints)
	e.Equal(e.suite.Options, options)
	scribbleOnStrings(endpoints)
	for name := range options {
		options[name] = "scribbled"
	}
	_, err = kv.Put("key", "value", 0)
	e.NoError(err)
	if e.traits.Endpoints {
		given := kv.GetEndpoints()
		again := slices.Clone(given)
		e.NoError(kv.SetEndpoints(again)) // makes new connections
		e.Equal(given, again)
		scribbleOnStrings(again)
		e.Equal(given, kv.GetEndpoints())
	}
	before := kv.GetEndpoints()
	scribbleOnStrings(kv.GetEndpoints())
	e.Equal(before, kv.GetEndpoints())
	pair, err := kv.Get("key")
	e.NoError(err)
	e.Equal("value", string(pair.Value))
}

func scribbleOnStrings(all []string) {
	for i := range all {
		all[i] = "http://192.0.2.1:1"
	}
}

func ownershipPairsGiven(e *env) {
	if e.traits.Objects {
		return // the store keeps the caller's object, which the cases about select callbacks assert
	}
	e.put("key", "0")
	given, prev := &kvdb.KVPair{Key: "key", Value: []byte("1")}, []byte("0")
	_, err := e.kv.CompareAndSet(given, 0, prev)
	e.NoError(err)
	e.Equal(kvdb.KVPair{Key: "key", Value: []byte("1")}, *given)
	e.Equal("0", string(prev))
	scribble(given)
	scribbleOn(prev)
	e.holds("key", "1")

	given = &kvdb.KVPair{Key: "new", Value: []byte("1")}
	_, err = e.kv.CompareAndSet(given, kvdb.KVModifiedIndex, nil)
	e.NoError(err)
	scribble(given)
	e.holds("new", "1")

	given = &kvdb.KVPair{Key: "new", Value: []byte("1")}
	old, err := e.kv.CompareAndDelete(given, 0)
	e.NoError(err)
	e.Equal(kvdb.KVPair{Key: "new", Value: []byte("1")}, *given)
	scribble(given)
	e.Equal("1", string(old.Value))
	e.missing("new", "scribbled")
}

func ownershipPairsReturned(e *env) {
	expect := func(key, value string) {
		pair, err := e.kv.Get(key)
		e.NoError(err)
		e.Equal(key, pair.Key)
		e.Equal(value, string(pair.Value))
		e.Less(pair.ModifiedIndex, uint64(1<<50))
	}
	for call, f := range map[string]func() (*kvdb.KVPair, error){
		"Put":    func() (*kvdb.KVPair, error) { return e.kv.Put("key", "value", 0) },
		"Create": func() (*kvdb.KVPair, error) { return e.kv.Create("created", "value", 0) },
		"Update": func() (*kvdb.KVPair, error) { return e.kv.Update("key", "value", 0) },
		"CompareAndSet": func() (*kvdb.KVPair, error) {
			return e.kv.CompareAndSet(&kvdb.KVPair{Key: "key", Value: []byte("value")}, 0, nil)
		},
		"Get": func() (*kvdb.KVPair, error) { return e.kv.Get("key") },
		"GetVal": func() (*kvdb.KVPair, error) {
			var value interface{}
			pair, err := e.kv.GetVal("key", &value)
			e.is(kvdb.ErrUnmarshal, err)
			return pair, nil
		},
	} {
		e.put("key", "value")
		pair, err := f()
		e.NoError(err, call)
		key := pair.Key
		if call == "CompareAndSet" && e.traits.Objects {
			continue // its value is memory of the caller
		}
		scribble(pair)
		expect(key, "value")
	}
	e.put("key", "value")
	got, err := e.kv.GetWithCopy("key", func(val interface{}) interface{} {
		if value, ok := val.([]byte); ok {
			scribbleOn(value)
		}
		return val
	})
	e.NoError(err)
	e.NotNil(got)
	expect("key", "value")
}

func ownershipLists(e *env) {
	keys := []string{"dir/a", "dir/b", "dir/c"}
	for _, key := range keys {
		e.put(key, "value of "+key)
	}
	intact := func(pairs kvdb.KVPairs) {
		e.t.Helper()
		e.Equal(keys, keysOf(pairs))
		for _, pair := range pairs {
			e.Equal("value of "+pair.Key, string(pair.Value))
		}
	}
	for range 2 {
		pairs, err := e.kv.Enumerate("dir/")
		e.NoError(err)
		intact(pairs)
		scribble(pairs[1])
		e.Equal("value of dir/a", string(pairs[0].Value), "the values of a list are apart")
		e.Equal("value of dir/c", string(pairs[2].Value), "the values of a list are apart")
		scribble(pairs...)
		clear(pairs)
		selected, err := e.kv.EnumerateKVPWithSelect("dir/", func(pair *kvdb.KVPair, _ interface{}) bool { return true },
			func(pair *kvdb.KVPair, _ interface{}) *kvdb.KVPair { return pair })
		e.NoError(err)
		intact(selected)
		scribble(selected...)
		_, err = e.kv.EnumerateKVPWithSelect("dir/", func(pair *kvdb.KVPair, _ interface{}) bool { scribble(pair); return false },
			func(pair *kvdb.KVPair, _ interface{}) *kvdb.KVPair { return pair })
		e.NoError(err)
		_, err = e.kv.EnumerateWithSelect("dir/", func(val interface{}) bool {
			if value, ok := val.([]byte); ok {
				scribbleOn(value)
			}
			return true
		}, func(val interface{}) interface{} { return val })
		e.NoError(err)
		paged := e.pages("dir/", 2)
		intact(paged)
		scribble(paged...)
		n := 0
		for pair, err := range kvdb.PairsWith(e.kv, "dir/", kvdb.PageOptions{Size: 1}) {
			e.NoError(err)
			scribble(pair)
			n++
		}
		e.Equal(3, n, "a loop that changes the pairs of one page must get the next page")
		names, err := e.kv.Keys("dir", "")
		e.NoError(err)
		e.Equal([]string{"a", "b", "c"}, names)
		scribbleOnStrings(names)
	}
}

// The watches of a key, and the history, do not share the pairs that callbacks get.
func ownershipEvents(e *env) {
	start := e.index()
	collector, err := kvdb.NewUpdatesCollector(e.kv, "dir/", start)
	e.NoError(err)
	first, second, one := e.watchTree("dir/", start), e.watchTree("dir/", start), e.watchKey("dir/key", start)
	put := e.put("dir/key", "value")
	intact := func(event *kvdb.KVPair) {
		e.t.Helper()
		e.Equal("dir/key", event.Key)
		e.Equal("value", string(event.Value))
		e.Equal(put.ModifiedIndex, event.ModifiedIndex)
		e.Equal(kvdb.KVCreate, event.Action)
		scribble(event)
	}
	intact(first.next())
	intact(second.next())
	intact(one.next())
	e.holds("dir/key", "value")
	intact(e.watchTree("dir/", start).next())

	replay := func() (events int) {
		_, err := collector.ReplayUpdates([]kvdb.ReplayCb{{Prefix: "dir/", WaitIndex: start,
			WatchCB: func(_ string, _ interface{}, event *kvdb.KVPair, _ error) error {
				events++
				intact(event)
				return nil
			}}})
		e.NoError(err)
		return events
	}
	e.eventually(func() bool { return replay() == 1 }, "the collector has the event")
	e.Equal(1, replay())
	collector.Stop()
}

func ownershipSnapshots(e *env) {
	e.put("a", "value")
	e.put("b/key", "value")
	prefixes := []string{"b/", "a"}
	snapshot, _ := e.snapshot(prefixes...)
	e.Equal([]string{"b/", "a"}, prefixes)
	scribbleOnStrings(prefixes)
	pair, err := snapshot.Get("a")
	e.NoError(err)
	scribble(pair)
	pair, err = snapshot.Get("a")
	e.NoError(err)
	e.Equal("value", string(pair.Value))

	given := &kvdb.KVPair{Key: "c", Value: []byte("value"), CreatedIndex: 3, ModifiedIndex: 4}
	put, err := snapshot.SnapPut(given)
	e.NoError(err)
	scribble(given)
	e.Equal("value", string(put.Value))
	scribble(put)
	pair, err = snapshot.Get("c")
	e.NoError(err)
	e.Equal("value", string(pair.Value))
	e.EqualValues(4, pair.ModifiedIndex)
	old, err := snapshot.Delete("c")
	e.NoError(err)
	scribble(old)
	e.holds("a", "value")
}

func ownershipSerialized(e *env) {
	e.put("key", "value")
	before, err := e.kv.Serialize()
	e.NoError(err)
	given := bytes.Clone(before)
	pairs, err := e.kv.Deserialize(given)
	e.NoError(err)
	e.Equal(before, given)
	scribbleOn(given)
	e.Equal([]string{"key"}, keysOf(pairs))
	e.Equal("value", string(pairs[0].Value))
	scribble(pairs...)
	again, err := e.kv.Deserialize(before)
	e.NoError(err)
	e.Equal("value", string(again[0].Value))
	scribbleOn(before)
	after, err := e.kv.Serialize()
	e.NoError(err)
	pairs, err = e.kv.Deserialize(after)
	e.NoError(err)
	e.Equal("value", string(pairs[0].Value))
}

// Unlock and TxGuard use only the field Lock of the pair.
func ownershipLocks(e *env) {
	lock := e.lock(e.kv, "lock", "me")
	scribble(lock)
	e.isLocked("lock", "me")
	if !e.traits.NoTx && !e.traits.SingleKeyTx {
		tx := e.tx()
		e.NoError(kvdb.TxGuard(tx, lock))
		lock.Key = "other"
		e.txWrites(tx, "key", "value")
		e.NoError(tx.Commit())
		e.holds("key", "value")
	}
	e.NoError(e.kv.Unlock(lock))
	e.isLocked("lock", "")
}

func ownershipTransactions(e *env) {
	if e.traits.NoTx {
		return // the cases about transactions assert that
	}
	e.put("read", "value")
	tx := e.tx()
	value := []byte("value")
	put, err := tx.Put("read", value, 0)
	e.NoError(err)
	if !e.traits.Objects {
		scribbleOn(value)
	}
	scribble(put)
	got, err := tx.Get("read")
	e.NoError(err)
	e.Equal("value", string(got.Value))
	scribble(got)
	e.NoError(tx.Commit())
	e.holds("read", "value")

	tx = e.tx()
	got, err = tx.Get("read")
	e.NoError(err)
	scribble(got)
	e.txWrites(tx, "read", "next")
	e.NoError(tx.Commit())
	e.holds("read", "next")
}

func ownershipMembers(e *env) {
	if !e.traits.Members {
		return // the cases about members assert that
	}
	before, err := e.kv.ListMembers()
	e.NoError(err)
	again, err := e.kv.ListMembers()
	e.NoError(err)
	for id, member := range again {
		scribbleOnStrings(member.PeerUrls)
		scribbleOnStrings(member.ClientUrls)
		*member = kvdb.MemberInfo{Name: "scribbled"}
		delete(again, id)
	}
	after, err := e.kv.ListMembers()
	e.NoError(err)
	e.Len(after, len(before))
	for id, member := range before {
		e.Equal(member.Name, after[id].Name)
		e.Equal(member.PeerUrls, after[id].PeerUrls)
		e.Equal(member.ClientUrls, after[id].ClientUrls)
	}
}
