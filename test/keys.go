package test

import (
	"slices"
	"strconv"

	"github.com/portworx/kvdb"
)

var keyGroup = group{name: "Keys", calls: "keys, domains, prefixes", cases: []testCase{
	{name: "DomainIsJoined", run: keysDomainIsJoined},
	{name: "AreRelative", run: keysAreRelative},
	{name: "DomainsIsolate", run: keysDomainsIsolate},
	{name: "PrefixIsAString", run: keysPrefixIsAString},
	{name: "DeleteTreeIsADirectory", run: keysDeleteTreeIsADirectory},
	{name: "DeleteTreeIsAtomic", run: keysDeleteTreeIsAtomic},
	{name: "FirstLevel", run: keysFirstLevel},
	{name: "Hidden", run: keysHidden},
	{name: "BesideADirectory", run: keysBesideADirectory},
	{name: "Slashes", run: keysSlashes},
	{name: "Illegal", run: keysIllegal},
	{name: "NotUTF8", run: keysNotUTF8},
	{name: "EmptyBelowTheDomain", run: keysEmptyBelowTheDomain},
	{name: "Limits", run: keysLimits},
}}

// One separator joins domain and key, whether the domain ends in one or not,
// and none for an empty domain.
func keysDomainIsJoined(e *env) {
	e.put("dir/key", "value")
	e.holds("dir/key", "value")
	if e.traits.PrivateStore {
		return // nobody else can look
	}
	slash := e.open(e.domain + "/")
	pair, err := slash.Get("dir/key")
	e.NoError(err)
	e.Equal("dir/key", pair.Key)
	inner := e.open(e.domain + "/dir")
	pair, err = inner.Get("key")
	e.NoError(err)
	e.Equal("key", pair.Key)
	none := e.open("")
	pair, err = none.Get(e.domain + "/dir/key")
	e.NoError(err)
	e.Equal(e.domain+"/dir/key", pair.Key)
	pairs, err := none.Enumerate(e.domain)
	e.NoError(err)
	e.Equal([]string{e.domain + "/dir/key"}, keysOf(pairs))
}

// Every call that returns a pair returns the key that Put was given.
func keysAreRelative(e *env) {
	keys := []string{
		"plain", "dir/sub/leaf", "with space", "ä/ü/日本", "a%2Fb", "what?x=1&y#z", "a+b", "a:b;c,d", `q"uo'te\`, "~.hidden-ish",
	}
	if !slices.Contains(e.traits.IllegalKeys, notUTF8) {
		keys = append(keys, notUTF8, "dir\xc3/\xa4/\x80", "\xff")
	}
	tree := e.watchTree("", 0)
	for _, key := range keys {
		watched := e.watchKey(key, 0)
		pair, err := e.kv.Create(key, "1", 0)
		e.NoError(err)
		e.Equal(key, pair.Key)
		e.Equal(key, e.put(key, "2").Key)
		e.Equal(key, e.holds(key, "2").Key)
		pair, err = e.kv.Update(key, "3", 0)
		e.NoError(err)
		e.Equal(key, pair.Key)
		pair, err = e.kv.CompareAndSet(&kvdb.KVPair{Key: key, Value: []byte("4")}, kvdb.KVPrevExists, nil)
		e.NoError(err)
		e.Equal(key, pair.Key)
		pair, err = e.kv.Get(pair.Key)
		e.NoError(err)
		e.Equal([]string{key}, e.enumerate(key))
		watched.seesKeys(key)
		tree.seesKeys(key)
		pair, err = e.kv.CompareAndDelete(pair, 0)
		e.NoError(err)
		e.Equal(key, pair.Key)
		e.put(key, "5")
		pair, err = e.kv.Delete(key)
		e.NoError(err)
		e.Equal(key, pair.Key)
		e.put("end", key)
		tree.until("end")
	}
}

func keysDomainsIsolate(e *env) {
	inner, sibling := e.open(e.domain+"/b"), e.open(e.domain+"/bc")
	r := e.watchTreeOf(inner, "", 0)
	_, err := sibling.Put("key", "value", 0)
	e.NoError(err)
	_, err = inner.Get("key")
	e.is(kvdb.ErrNotFound, err)
	_, err = inner.Get("c/key")
	e.is(kvdb.ErrNotFound, err)
	pairs, err := inner.Enumerate("")
	e.NoError(err)
	e.Empty(pairs)
	names, err := inner.Keys("", "")
	e.NoError(err)
	e.Empty(names)
	serialized, err := inner.Serialize()
	e.NoError(err)
	e.JSONEq("[]", string(serialized))
	if !e.lacks(snapshotPart) {
		snapshot, _, err := inner.Snapshot(nil, true)
		e.NoError(err)
		pairs, err = snapshot.Enumerate("")
		e.NoError(err)
		e.Empty(pairs)
	}
	if e.lock(sibling, "lock", "me") != nil {
		locked, _, err := inner.IsKeyLocked("lock")
		e.NoError(err)
		e.False(locked)
	}
	e.NoError(inner.DeleteTree(""))
	_, err = sibling.Get("key")
	e.NoError(err)
	_, err = inner.Put("own", "value", 0)
	e.NoError(err)
	r.seesKeys("own")
}

func keysPrefixIsAString(e *env) {
	r := e.watchTree("ab", 0)
	matching := e.sideBySide("ab", "ab/c", "ab/c/d", "abc")
	for _, key := range append(matching, "a", "b/ab", "aB") {
		e.put(key, "value")
	}
	e.put("ab-end", "value")
	e.Equal(e.sideBySide("ab", "ab-end", "ab/c", "ab/c/d", "abc"), e.enumerate("ab"))
	e.Equal(e.sideBySide("ab/c", "ab/c/d"), e.enumerate("ab/"))
	e.Equal(e.sideBySide("ab/c", "ab/c/d"), e.enumerate("ab/c"))
	e.Empty(e.enumerate("x"))
	var seen []string
	for _, event := range r.until("ab-end") {
		seen = append(seen, event.Key)
	}
	if r != nil {
		e.ElementsMatch(append(matching, "ab-end"), seen)
	}
}

// A key whose last component begins with "_" is hidden from Enumerate, and from
// nothing else.
func keysHidden(e *env) {
	tree, one := e.watchTree("", 0), e.watchKey("dir/_h", 0)
	hidden := []string{"_h", "dir/_h", "_"}
	for _, key := range append(hidden, "dir/_sub/shown", "dir/key", "h_") {
		e.put(key, "value")
	}
	e.enumeratesOnly(e.listed("dir/_sub/shown", "dir/key", "h_"))
	one.seesKeys("dir/_h")
	var seen []string
	for _, event := range tree.until("h_") {
		seen = append(seen, event.Key)
	}
	if tree != nil {
		e.Subset(seen, e.listed(hidden...), "events of the watch include hidden keys")
	}
	e.readsHidden(hidden)
	_, err := e.kv.Delete("_h")
	e.NoError(err)
	e.missing("_h")
	e.NoError(e.kv.DeleteTree("dir"))
	e.missing("dir/_h")
}

// enumeratesOnly asserts that every kind of Enumerate returns the keys shown, and not the
// hidden ones beside them.
func (e *env) enumeratesOnly(shown []string) {
	e.Equal(shown, e.enumerate(""))
	e.Empty(e.enumerate("_h"))
	e.Empty(e.enumerate("dir/_h"))
	all := func(*kvdb.KVPair, interface{}) bool { return true }
	same := func(pair *kvdb.KVPair, _ interface{}) *kvdb.KVPair { return pair }
	pairs, err := e.kv.EnumerateKVPWithSelect("", all, same)
	e.NoError(err)
	e.Equal(shown, keysOf(pairs))
	values, err := e.kv.EnumerateWithSelect("_h",
		func(interface{}) bool { return true }, func(val interface{}) interface{} { return val })
	e.NoError(err)
	e.Empty(values)
	var iterated []string
	for pair, err := range kvdb.Pairs(e.kv, "") {
		e.NoError(err)
		iterated = append(iterated, pair.Key)
	}
	e.Equal(shown, iterated)
}

// readsHidden asserts that Get, Keys, Snapshot and Serialize include hidden keys.
func (e *env) readsHidden(hidden []string) {
	names, err := e.kv.Keys("", "")
	e.NoError(err)
	e.Equal(e.listed("_", "_h", "dir", "h_"), names)
	names, err = e.kv.Keys("dir", "")
	e.NoError(err)
	e.Equal(e.listed("_h", "_sub", "key"), names)
	snapshot, _ := e.snapshot()
	serialized, err := e.kv.Serialize()
	e.NoError(err)
	backup, err := e.kv.Deserialize(serialized)
	e.NoError(err)
	for _, key := range hidden {
		e.holds(key, "value")
	}
	for _, key := range e.listed(hidden...) {
		if snapshot != nil {
			_, err := snapshot.Get(key)
			e.NoError(err, "Get %q of the snapshot", key)
		}
		e.Contains(keysOf(backup), key, "the keys that Serialize wrote")
	}
}

func keysSlashes(e *env) {
	e.put("a//b", "run")
	e.put("/c", "leading")
	if e.traits.FoldedSlashes {
		e.except("runs of `/` in a key are one, a leading one is dropped")
		e.Equal("a/b", e.holds("a/b", "run").Key)
		e.Equal("c", e.holds("c", "leading").Key)
		e.Equal("c", e.holds("/c", "leading").Key)
		return
	}
	e.missing("a/b", "c")
	e.put("a/b", "one")
	e.put("c", "none")
	e.Equal("a//b", e.holds("a//b", "run").Key)
	e.Equal("/c", e.holds("/c", "leading").Key)
	e.Equal([]string{"/c", "a//b", "a/b", "c"}, e.enumerate(""))
}

func keysIllegal(e *env) {
	if len(e.traits.IllegalKeys) > 0 {
		e.except("more keys than the empty one are illegal: %q", e.traits.IllegalKeys)
	}
	ignore := func(string, interface{}, *kvdb.KVPair, error) error { return nil }
	keys := append([]string{""}, e.traits.IllegalKeys...)
	if e.traits.FoldedSlashes {
		keys = append(keys, "/", "//") // the same as the empty key
	}
	for _, key := range keys {
		pair := &kvdb.KVPair{Key: key, Value: []byte("value")}
		for call, f := range e.supported(map[string]func() error{
			"Get":    func() error { _, err := e.kv.Get(key); return err },
			"GetVal": func() error { var v string; _, err := e.kv.GetVal(key, &v); return err },
			"GetWithCopy": func() error {
				_, err := e.kv.GetWithCopy(key, func(v interface{}) interface{} { return v })
				return err
			},
			"Put":              func() error { _, err := e.kv.Put(key, "value", 0); return err },
			"Create":           func() error { _, err := e.kv.Create(key, "value", 0); return err },
			"Update":           func() error { _, err := e.kv.Update(key, "value", 0); return err },
			"Delete":           func() error { _, err := e.kv.Delete(key); return err },
			"CompareAndSet":    func() error { _, err := e.kv.CompareAndSet(pair, kvdb.KVModifiedIndex, nil); return err },
			"CompareAndDelete": func() error { _, err := e.kv.CompareAndDelete(pair, 0); return err },
			"WatchKey":         func() error { return e.kv.WatchKey(key, 0, nil, ignore) },
			"Lock":             func() error { _, err := e.kv.Lock(key); return err },
			"IsKeyLocked":      func() error { _, _, err := e.kv.IsKeyLocked(key); return err },
		}) {
			err := f()
			e.ErrorIs(err, kvdb.ErrIllegal, "%s(%q)", call, key)
			e.ErrorContains(err, strconv.Quote(key), call)
			e.NotEqual(kvdb.ErrIllegal, err, "%s(%q) names no reason", call, key)
		}
	}
	e.Empty(e.enumerate(""))
}

// A key of any bytes, if the store accepts it, comes back unchanged from every call.
func keysNotUTF8(e *env) {
	if slices.Contains(e.traits.IllegalKeys, notUTF8) {
		return // another case asserts that
	}
	keys := []string{"dir/\x80", "dir/\x80\x81", "dir/a\xff/b", "dir/\xff"}
	tree := e.watchTree("dir/\x80", 0)
	for _, key := range keys {
		e.put(key, "value of "+key)
	}
	slices.Sort(keys)
	e.Equal(keys, e.enumerate("dir/"))
	e.Equal([]string{"dir/\x80", "dir/\x80\x81"}, e.enumerate("dir/\x80"))
	e.Equal(keys, keysOf(e.pages("dir/", 1)))
	names, err := e.kv.Keys("dir", "")
	e.NoError(err)
	e.Equal([]string{"a\xff", "\x80", "\x80\x81", "\xff"}, names)
	tree.seesKeys("dir/\x80", "dir/\x80\x81")
	snapshot, _ := e.snapshot("dir/")
	serialized, err := e.kv.Serialize()
	e.NoError(err)
	backup, err := e.kv.Deserialize(serialized)
	e.NoError(err)
	e.Equal(keys, keysOf(backup))
	for _, key := range keys {
		e.holds(key, "value of "+key)
		if snapshot != nil {
			pair, err := snapshot.Get(key)
			e.NoError(err)
			e.Equal(key, pair.Key)
		}
	}
	if !e.traits.NoTx {
		_, err = e.txPut("dir/\xff", "by a transaction")
		e.NoError(err)
		e.holds("dir/\xff", "by a transaction")
	}
	if lock := e.lock(e.kv, "lock\xff", "me"); lock != nil {
		e.Equal("lock\xff", lock.Key)
		e.isLocked("lock\xff", "me")
		e.isLocked("lock\xfe", "")
		e.unlock(e.kv, lock)
	}
	e.NoError(e.kv.DeleteTree("dir/a\xff"))
	e.missing("dir/a\xff/b")
	e.Len(e.enumerate("dir/"), 3)
}

// A pair whose key is the domain and a slash, which only another program can write, is not
// returned by any call, because no call accepts its key.
func keysEmptyBelowTheDomain(e *env) {
	if e.traits.PrivateStore {
		return // there is no other program
	}
	none := e.open("")
	tree := e.watchTree("", 0)
	e.put("end", "value")
	if _, err := none.Put(e.domain+"/", "foreign", 0); err != nil {
		e.ErrorIs(err, kvdb.ErrIllegal)
		return
	}
	e.put("key", "value")
	e.Equal([]string{"end", "key"}, e.enumerate(""))
	for _, size := range []int{1, 2} {
		e.Equal([]string{"end", "key"}, keysOf(e.pages("", size)))
	}
	names, err := e.kv.Keys("", "")
	e.NoError(err)
	e.Equal([]string{"end", "key"}, names)
	tree.seesKeys("end", "key")
	e.Len(e.content(e.kv), 2)
	if snapshot, _ := e.snapshot(); snapshot != nil {
		pairs, err := snapshot.Enumerate("")
		e.NoError(err)
		e.Equal([]string{"end", "key"}, keysOf(pairs))
		e.Len(e.content(snapshot), 2)
	}
	values, err := e.kv.EnumerateWithSelect("",
		func(interface{}) bool { return true }, func(val interface{}) interface{} { return val })
	e.NoError(err)
	e.Len(values, 2)
	if e.traits.FoldedSlashes { // it may be the key of the domain itself
		_, err = none.Delete(e.domain + "/")
		e.NoError(err)
		return
	}
	e.NoError(e.kv.DeleteTree(""))
	_, err = none.Get(e.domain + "/")
	e.is(kvdb.ErrNotFound, err)
}
