package test

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

var snapshotGroup = group{name: "Snapshots", calls: "Snapshot, SnapPut", needs: []*part{snapshotPart}, cases: []testCase{
	{name: "Content", run: snapshotContent},
	{name: "Prefixes", run: snapshotPrefixes},
	{name: "NotConsistent", run: snapshotNotConsistent},
	{name: "LeavesNothing", run: snapshotLeavesNothing},
	{name: "WatchGetsTheRest", run: snapshotWatchGetsTheRest, needs: []*part{watchPart}},
	{name: "IsOneMoment", run: snapshotIsOneMoment},
	{name: "Reads", run: snapshotReads},
	{name: "SnapPutAndDelete", run: snapshotSnapPutAndDelete},
	{name: "ReadOnly", run: snapshotReadOnly},
}}

// snapshot takes a snapshot of the case's instance. If the store has no snapshots, it
// asserts that, and returns nil.
func (e *env) snapshot(prefixes ...string) (kvdb.Kvdb, uint64) {
	e.t.Helper()
	snapshot, index, err := e.kv.Snapshot(prefixes, true)
	if e.lacks(snapshotPart) {
		e.refused(snapshotPart, "Snapshot", err)
		return nil, 0
	}
	e.NoError(err)
	e.instances = append(e.instances, snapshot)
	return snapshot, index
}

// content returns the pairs of kv, including hidden keys.
func (e *env) content(kv kvdb.Kvdb) map[string]kvdb.KVPair {
	e.t.Helper()
	serialized, err := kv.Serialize()
	e.NoError(err)
	pairs, err := kv.Deserialize(serialized)
	e.NoError(err)
	content := map[string]kvdb.KVPair{}
	for _, pair := range pairs {
		content[pair.Key] = kvdb.KVPair{
			Key: pair.Key, Value: pair.Value, CreatedIndex: pair.CreatedIndex, ModifiedIndex: pair.ModifiedIndex,
		}
	}
	return content
}

// A snapshot has the pairs of its moment, with their indexes, and no later writes.
func snapshotContent(e *env) {
	keys := e.sideBySide("a", "a/b", "_h", "dir/_h", "y", "z")
	for _, key := range keys {
		e.put(key, "first")
		e.put(key, "value of "+key)
	}
	before := e.content(e.kv)
	snapshot, index := e.snapshot()
	e.put("y", "later")
	e.put("new", "later")
	_, err := e.kv.Delete("z")
	e.NoError(err)
	e.Len(before, len(e.listed(keys...)), "the pairs of Serialize")
	e.Equal(before, e.content(snapshot), "the snapshot must have the pairs of its moment, with their indexes")
	for _, pair := range before {
		e.Less(pair.ModifiedIndex, index, "the index of the snapshot must be larger than the ModifiedIndex of each pair")
	}
	e.Less(index, e.put("after", "value").ModifiedIndex, "the index of the snapshot must be smaller than that of a later write")
}

func snapshotPrefixes(e *env) {
	for _, key := range e.sideBySide("a", "ab/c", "ab/d", "abc", "b", "b/c", "c") {
		e.put(key, "value")
	}
	for _, c := range []struct{ prefixes, want []string }{
		{[]string{"ab"}, []string{"ab/c", "ab/d", "abc"}},
		{[]string{"ab/", "b/"}, []string{"ab/c", "ab/d", "b/c"}},
		{[]string{"ab/c", "ab", "ab/", "ab"}, []string{"ab/c", "ab/d", "abc"}},
		{[]string{"b", "", "c"}, []string{"a", "ab/c", "ab/d", "abc", "b", "b/c", "c"}},
		{[]string{"none"}, []string{}},
		{nil, []string{"a", "ab/c", "ab/d", "abc", "b", "b/c", "c"}},
		{[]string{}, []string{"a", "ab/c", "ab/d", "abc", "b", "b/c", "c"}},
	} {
		for _, consistent := range []bool{true, false} {
			snapshot, _, err := e.kv.Snapshot(c.prefixes, consistent)
			e.NoError(err)
			pairs, err := snapshot.Enumerate("")
			e.NoError(err)
			e.Equal(e.sideBySide(c.want...), keysOf(pairs), "prefixes %q", c.prefixes)
			e.NoError(kvdb.Close(snapshot))
		}
	}
}

func snapshotNotConsistent(e *env) {
	put := e.put("key", "value")
	snapshot, index, err := e.kv.Snapshot(nil, false)
	e.NoError(err)
	e.Zero(index)
	pair, err := snapshot.Get("key")
	e.NoError(err)
	e.Equal(put.ModifiedIndex, pair.ModifiedIndex)
	e.NoError(kvdb.Close(snapshot))
	e.put("key", "still usable")
}

// Nobody sees a write that a snapshot makes to get its index.
func snapshotLeavesNothing(e *env) {
	r := e.watchTree("", 0)
	e.put("key", "value")
	r.seesKeys("key")
	before := e.content(e.kv)
	for range 3 {
		e.snapshot("key")
		e.snapshot()
	}
	e.Equal(before, e.content(e.kv))
	names, err := e.kv.Keys("", "")
	e.NoError(err)
	e.Equal([]string{"key"}, names)
	e.put("end", "value")
	r.seesKeys("end")
}

// While others write, each write is in a snapshot or in a watch from its index, not in both.
func snapshotWatchGetsTheRest(e *env) {
	finish := e.startStorm()
	type taken struct {
		content map[string]kvdb.KVPair
		index   uint64
		rest    *recorder
	}
	var snapshots []taken
	for range 10 {
		snapshot, index := e.snapshot("storm/")
		snapshots = append(snapshots, taken{e.content(snapshot), index, e.watchTree("storm/", index)})
	}
	written := finish()
	final := e.content(e.kv)
	for _, s := range snapshots {
		later := maps.Clone(written)
		for index := range written {
			if index <= s.index {
				delete(later, index)
			}
		}
		e.NotContains(written, s.index, "the snapshot has an index of its own")
		for _, pair := range s.content {
			e.Less(pair.ModifiedIndex, s.index)
			e.Equal(written[pair.ModifiedIndex], pair.Key+"="+string(pair.Value))
		}
		for index, what := range written { // the latest of each key up to the snapshot
			key, _, _ := strings.Cut(what, "=")
			if index < s.index {
				e.GreaterOrEqual(s.content[key].ModifiedIndex, index, "the ModifiedIndex of %s in the snapshot; it must include all earlier writes", key)
			}
		}
		if len(later) > 0 {
			e.followRest(s.rest, later, s.content)
		}
		e.Equal(final, s.content)
	}
}

// followRest is follow for the events after a snapshot, which it adds to content.
func (e *env) followRest(r *recorder, later map[uint64]string, content map[string]kvdb.KVPair) {
	e.t.Helper()
	seen := map[uint64]bool{}
	for _, event := range r.until("storm/end") {
		e.Equal(later[event.ModifiedIndex], event.Key+"="+string(event.Value), "the event with the index %d", event.ModifiedIndex)
		e.False(seen[event.ModifiedIndex], "the watch delivered the event with the index %d twice", event.ModifiedIndex)
		seen[event.ModifiedIndex] = true
		content[event.Key] = kvdb.KVPair{
			Key: event.Key, Value: event.Value, CreatedIndex: event.CreatedIndex, ModifiedIndex: event.ModifiedIndex,
		}
	}
	if !e.traits.FoldedUpdates {
		e.Len(later, len(seen), "a watch from the snapshot's index must deliver every later write")
	}
}

// A snapshot shows one moment: a writer writes a counter to one key and then to another.
func snapshotIsOneMoment(e *env) {
	e.during(e.counting(), 50, func(int) {
		snapshot, _, err := e.kv.Snapshot(nil, true)
		e.NoError(err)
		content := e.content(snapshot)
		late, err := strconv.Atoi(string(content["1-late"].Value))
		e.NoError(err)
		early, err := strconv.Atoi(string(content["2-early"].Value))
		e.NoError(err)
		e.True(late == early || late == early-1, "the snapshot shows write %d of one key beside write %d of another; it must show one moment", late, early)
		e.NoError(kvdb.Close(snapshot))
	})
}

func snapshotReads(e *env) {
	e.put("dir/key", object{"x", 1})
	e.put("dir/sub/key", "no JSON")
	e.put("dir/_h", "hidden")
	snapshot, _ := e.snapshot()
	e.NoError(e.kv.DeleteTree(""))
	var value object
	pair, err := snapshot.GetVal("dir/key", &value)
	e.NoError(err)
	e.Equal(object{"x", 1}, value)
	e.Equal(kvdb.KVGet, pair.Action)
	e.Equal("dir/key", pair.Key)
	_, err = snapshot.GetVal("dir/sub/key", &value)
	e.is(kvdb.ErrUnmarshal, err)
	_, err = snapshot.Get("missing")
	e.is(kvdb.ErrNotFound, err)
	_, err = snapshot.Get("")
	e.ErrorIs(err, kvdb.ErrIllegal)
	pairs, err := snapshot.Enumerate("dir")
	e.NoError(err)
	e.Equal([]string{"dir/key", "dir/sub/key"}, keysOf(pairs))
	names, err := snapshot.Keys("dir", "")
	e.NoError(err)
	e.Equal(e.listed("_h", "key", "sub"), names)
	same := func(val interface{}) interface{} { return val }
	all := func(interface{}) bool { return true }
	_, err = snapshot.GetWithCopy("dir/key", same)
	e.NoError(err)
	values, err := snapshot.EnumerateWithSelect("dir", all, same)
	e.NoError(err)
	e.Len(values, 2)
	e.Equal(e.suite.Traits.FoldedUpdates, snapshot.Capabilities()&kvdb.KVCapabilityOrderedUpdates == 0)
}

// SnapPut records a pair with the indexes that it has, Delete removes one. The store does
// not change.
func snapshotSnapPutAndDelete(e *env) {
	e.put("key", "value")
	snapshot, _ := e.snapshot()
	carried := kvdb.KVPair{Key: "dir/put", Value: []byte("value"), CreatedIndex: 5, ModifiedIndex: 7}
	given := carried
	given.Value = []byte("value")
	_, err := snapshot.SnapPut(&given)
	e.NoError(err)
	given.Value[0] = '!'
	e.Equal(carried, e.content(snapshot)["dir/put"])
	_, err = snapshot.SnapPut(&kvdb.KVPair{Key: "key", Value: []byte("2"), CreatedIndex: 1, ModifiedIndex: 2})
	e.NoError(err)
	pair, err := snapshot.Get("key")
	e.NoError(err)
	e.pairIs("Get after SnapPut", pair, "key", "2", kvdb.KVGet, 1, 2)
	late := kvdb.KVPair{Key: "late", Value: []byte("value"), CreatedIndex: 1 << 40, ModifiedIndex: 1 << 41}
	_, err = snapshot.SnapPut(&late)
	e.NoError(err)
	_, index, err := snapshot.Snapshot(nil, true)
	e.NoError(err)
	e.Greater(index, late.ModifiedIndex)
	old, err := snapshot.Delete("key")
	e.NoError(err)
	e.Equal("2", string(old.Value))
	e.Equal(kvdb.KVDelete, old.Action)
	_, err = snapshot.Delete("key")
	e.is(kvdb.ErrNotFound, err)
	e.holds("key", "value")
	e.missing("dir/put")
	_, err = e.kv.SnapPut(&carried)
	e.is(kvdb.ErrNotSupported, err)
	e.missing("dir/put")
}

func snapshotReadOnly(e *env) {
	put := e.put("key", "value")
	snapshot, _ := e.snapshot()
	ignore := func(string, interface{}, *kvdb.KVPair, error) error { return nil }
	pair := &kvdb.KVPair{Key: "key", Value: []byte("value"), ModifiedIndex: put.ModifiedIndex}
	for call, f := range map[string]func() error{
		"Put":              func() error { _, err := snapshot.Put("key", "x", 0); return err },
		"Create":           func() error { _, err := snapshot.Create("new", "x", 0); return err },
		"Update":           func() error { _, err := snapshot.Update("key", "x", 0); return err },
		"CompareAndSet":    func() error { _, err := snapshot.CompareAndSet(pair, kvdb.KVModifiedIndex, nil); return err },
		"CompareAndDelete": func() error { _, err := snapshot.CompareAndDelete(pair, kvdb.KVModifiedIndex); return err },
		"DeleteTree":       func() error { return snapshot.DeleteTree("") },
		"TxNew":            func() error { _, err := snapshot.TxNew(); return err },
		"Lock":             func() error { _, err := snapshot.Lock("key"); return err },
		"LockWithID":       func() error { _, err := snapshot.LockWithID("key", "me"); return err },
		"LockWithTimeout": func() error {
			_, err := snapshot.LockWithTimeout("key", "me", time.Second, time.Second)
			return err
		},
		"WatchKey":  func() error { return snapshot.WatchKey("key", 0, nil, ignore) },
		"WatchTree": func() error { return snapshot.WatchTree("", 0, nil, ignore) },
	} {
		err := f()
		e.True(err == mem.ErrSnap, "%s on a snapshot returned %v; it must be mem.ErrSnap itself", call, err)
	}
	e.Equal([]string{"key"}, e.enumerate(""))
	same, err := snapshot.Get("key")
	e.NoError(err)
	e.Equal("value", string(same.Value))
}
