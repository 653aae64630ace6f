package test

import (
	"encoding/json"

	"github.com/portworx/kvdb"
)

var serializeGroup = group{name: "Serialize", calls: "Serialize, Deserialize", cases: []testCase{
	{name: "RoundTrip", run: serializeRoundTrip},
	{name: "Restore", run: serializeRestore},
	{name: "Garbage", run: serializeGarbage},
}}

func serializeRoundTrip(e *env) {
	for _, key := range e.sideBySide("a", "a/b", "_h", "ä ü") {
		e.put(key, "first")
		e.put(key, "value of "+key)
	}
	e.put("binary", []byte{0, 255, 1})
	serialized, err := e.kv.Serialize()
	e.NoError(err)
	var array []map[string]interface{}
	e.NoError(json.Unmarshal(serialized, &array), "Serialize must return a JSON array")
	pairs, err := e.kv.Deserialize(serialized)
	e.NoError(err)
	all := e.listed(e.sideBySide("_h", "a", "a/b", "binary", "ä ü")...)
	e.Equal(all, keysOf(pairs))
	e.Len(array, len(all))
	for _, pair := range pairs {
		now, err := e.kv.Get(pair.Key)
		e.NoError(err)
		e.Equal(now.Value, pair.Value)
		e.Equal(now.CreatedIndex, pair.CreatedIndex)
		e.Equal(now.ModifiedIndex, pair.ModifiedIndex)
	}

	every := kvdb.KVPairs{{
		Key: "key", Value: []byte{0, 255}, Action: kvdb.KVSet, TTL: 7, KVDBIndex: 1 << 60, CreatedIndex: 3, ModifiedIndex: 4,
	}}
	encoded, err := json.Marshal(every)
	e.NoError(err)
	decoded, err := e.kv.Deserialize(encoded)
	e.NoError(err)
	e.Equal(every, decoded, "Deserialize must return every field that Serialize got")
}

// Serialize returns a complete backup of the domain.
func serializeRestore(e *env) {
	serialized, err := e.kv.Serialize()
	e.NoError(err)
	e.JSONEq("[]", string(serialized), "an empty domain")
	e.put("a", "1")
	e.put("dir/_h", "2")
	before := e.content(e.kv)
	serialized, err = e.kv.Serialize()
	e.NoError(err)
	if e.lacks(snapshotPart) {
		return // there is no other store to restore it to; RoundTrip asserts its contents
	}
	snapshot, _, err := e.open(e.domain+"-empty").Snapshot(nil, false)
	e.NoError(err)
	pairs, err := snapshot.Deserialize(serialized)
	e.NoError(err)
	for _, pair := range pairs {
		_, err := snapshot.SnapPut(pair)
		e.NoError(err)
	}
	e.Equal(before, e.content(snapshot))
	e.NoError(kvdb.Close(snapshot))
}

func serializeGarbage(e *env) {
	for _, garbage := range []string{"", "no JSON", "{}", "[1]", `["key"]`, "[null]", `[{"Key":1}]`} {
		e.NotPanics(func() {
			_, err := e.kv.Deserialize([]byte(garbage))
			e.Error(err, garbage)
		})
	}
}
