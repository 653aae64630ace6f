package test

import (
	"time"

	"github.com/portworx/kvdb"
)

// someTTL is the TTL in seconds of the cases about remaining TTLs. It is long enough not to
// end, and within the limits of every store.
const someTTL = 1000

// remains asserts that a remaining time is that of a key that got a TTL in seconds at a time
// after began.
func (e *env) remains(remaining time.Duration, ttl int, began time.Time, of string) {
	e.t.Helper()
	whole := time.Duration(ttl) * time.Second
	e.GreaterOrEqual(remaining, whole-time.Since(began), "the remaining TTL of %s, which was given %v", of, whole)
	e.LessOrEqual(remaining, whole+e.traits.TTLSlack, "the remaining TTL of %s, which was given %v", of, whole)
}

// noTTL asserts that kvdb.TTLOf says that a key has no TTL.
func (e *env) noTTL(kv kvdb.Kvdb, key string) {
	e.t.Helper()
	remaining, has, err := kvdb.TTLOf(kv, key)
	e.NoError(err)
	e.False(has, "%q has no TTL", key)
	e.Zero(remaining, "the remaining time of %q, which has no TTL", key)
}

// hasTTL asserts that kvdb.TTLOf returns the rest of a TTL that a key got at a time after began,
// and returns it.
func (e *env) hasTTL(kv kvdb.Kvdb, key string, ttl int, began time.Time) time.Duration {
	e.t.Helper()
	remaining, has, err := kvdb.TTLOf(kv, key)
	e.NoError(err)
	e.True(has, "%q has a TTL", key)
	e.remains(remaining, ttl, began, key)
	return remaining
}

// notTold asserts that kvdb.TTLOf of a key that does not exist is kvdb.ErrNotFound.
func (e *env) notTold(kv kvdb.Kvdb, key string) {
	e.t.Helper()
	_, _, err := kvdb.TTLOf(kv, key)
	e.is(kvdb.ErrNotFound, err)
}

// ttlOf asserts that kvdb.TTLOf returns the rest of the TTL that the last write gave a key.
func ttlOf(e *env) {
	if e.traits.TTLBound {
		e.except("`TTLOf` returns the maximum")
	}
	e.notTold(e.kv, "missing")
	_, _, err := kvdb.TTLOf(e.kv, "")
	e.ErrorIs(err, kvdb.ErrIllegal)
	e.put("no TTL", "value")
	e.noTTL(e.kv, "no TTL")
	if e.traits.NoTTL {
		return
	}
	for call, write := range e.withTTL() {
		e.put("key", "value")
		began := time.Now()
		pair, err := write("key", someTTL)
		e.NoError(err, call)
		e.hasTTL(e.kv, pair.Key, someTTL, began)
		e.hasTTL(e.peer(), pair.Key, someTTL, began)
		e.hasTTL(kvdb.WithContext(e.t.Context(), e.kv), pair.Key, someTTL, began)
		if snapshot, _ := e.snapshot(); snapshot != nil {
			e.hasTTL(snapshot, pair.Key, someTTL, began)
			e.noTTL(snapshot, "no TTL")
			e.notTold(snapshot, "missing")
		}
	}
	began := time.Now()
	_, err = e.kv.Put("key", "value", 2*someTTL)
	e.NoError(err)
	first := e.hasTTL(e.kv, "key", 2*someTTL, began)
	if !e.traits.TTLBound {
		e.eventually(func() bool { return e.hasTTL(e.kv, "key", 2*someTTL, began) < first }, "TTLOf must return the rest of the TTL")
	}
	_, err = e.kv.Update("key", "value", 0)
	e.NoError(err)
	e.noTTL(e.kv, "key")
	_, err = e.kv.Delete("key")
	e.NoError(err)
	e.notTold(e.kv, "key")
}

// ttlKept asserts that copies of a store have the remaining TTLs, so that a key does not live
// forever because it was restored.
func ttlKept(e *env) {
	if e.traits.NoTTL {
		return // no key has a TTL
	}
	given := map[string]int{"dir/a": someTTL, "dir/b": 0, "dir/c": 2 * someTTL, "dir/d": someTTL, "dir/e": someTTL}
	began := time.Now()
	for key, ttl := range given {
		_, err := e.kv.Put(key, "value", uint64(ttl))
		e.NoError(err)
	}
	if !e.traits.NoTx && !e.traits.SingleKeyTx {
		tx := e.tx()
		for _, key := range []string{"dir/d", "dir/e", "dir/f"} { // on etcd v3, these share a lease
			given[key] = someTTL
			_, err := tx.Put(key, "value", someTTL)
			e.NoError(err)
		}
		e.NoError(tx.Commit())
	}
	kept := func(call string, pairs kvdb.KVPairs) kvdb.KVPairs {
		e.t.Helper()
		e.Len(pairs, len(given), call)
		for _, pair := range pairs {
			e.remains(time.Duration(pair.TTL)*time.Second, given[pair.Key], began, pair.Key+" that "+call+" returned")
			e.Equal(given[pair.Key] == 0, pair.TTL == 0, "the TTL of %q that %s returned", pair.Key, call)
		}
		return pairs
	}
	if !e.lacks(pagePart) {
		for _, o := range []kvdb.PageOptions{{TTL: true}, {TTL: true, Size: 2, KeysOnly: true}} {
			var pairs kvdb.KVPairs
			for pair, err := range kvdb.PairsWith(e.kv, "dir/", o) {
				e.NoError(err)
				pairs = append(pairs, pair)
			}
			kept("PairsWith", pairs)
		}
	}
	serialized, err := e.kv.Serialize()
	e.NoError(err)
	backup, err := e.kv.Deserialize(serialized)
	e.NoError(err)
	e.restores(kept("Serialize", backup), given, began)
	if e.lacks(snapshotPart) {
		return
	}
	for _, consistent := range []bool{true, false} {
		snapshot, _, err := e.kv.Snapshot([]string{"dir/"}, consistent)
		e.NoError(err)
		pairs, err := snapshot.Enumerate("")
		e.NoError(err)
		e.restores(kept("Snapshot", pairs), given, began)
		for _, pair := range pairs {
			_, err := snapshot.SnapPut(pair)
			e.NoError(err)
			again, err := snapshot.Get(pair.Key)
			e.NoError(err)
			e.Equal(pair.TTL, again.TTL, "the TTL of a pair that SnapPut put in a snapshot")
		}
		e.NoError(kvdb.Close(snapshot))
	}
}

// restores writes pairs to another domain, and asserts that the keys get the TTLs in given.
func (e *env) restores(pairs kvdb.KVPairs, given map[string]int, began time.Time) {
	e.t.Helper()
	other := e.open(e.domain + "-restored")
	for _, pair := range pairs {
		_, err := other.Put(pair.Key, pair.Value, uint64(pair.TTL))
		e.NoError(err)
		if given[pair.Key] == 0 {
			e.noTTL(other, pair.Key)
		} else {
			e.hasTTL(other, pair.Key, given[pair.Key], began)
		}
	}
	e.NoError(other.DeleteTree(""))
	e.close(other)
}
