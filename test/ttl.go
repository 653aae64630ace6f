package test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/portworx/kvdb"
)

var ttlGroup = group{name: "TTL", calls: "TTL, kvdb.TTLOf", cases: []testCase{
	{name: "Refused", run: ttlRefused},
	{name: "Remaining", run: ttlRemaining},
	{name: "TTLOf", run: ttlOf, needs: []*part{ttlPart}},
	{name: "KeptInCopies", run: ttlKept, needs: []*part{ttlPart}},
	{name: "Expiry", run: ttlExpiry},
	{name: "Limits", run: ttlLimits},
}}

// withTTL returns the calls that write an existing key with a TTL in seconds.
func (e *env) withTTL() map[string]func(key string, ttl uint64) (*kvdb.KVPair, error) {
	calls := map[string]func(key string, ttl uint64) (*kvdb.KVPair, error){
		"Put":    func(key string, ttl uint64) (*kvdb.KVPair, error) { return e.kv.Put(key, "ttl", ttl) },
		"Update": func(key string, ttl uint64) (*kvdb.KVPair, error) { return e.kv.Update(key, "ttl", ttl) },
		"Create": func(key string, ttl uint64) (*kvdb.KVPair, error) { return e.kv.Create(key+"-new", "ttl", ttl) },
		"CompareAndSet": func(key string, ttl uint64) (*kvdb.KVPair, error) {
			pair := &kvdb.KVPair{Key: key, Value: []byte("ttl"), TTL: int64(ttl)}
			return e.kv.CompareAndSet(pair, kvdb.KVPrevExists|kvdb.KVTTL, nil)
		},
	}
	if e.traits.NoTx {
		return calls
	}
	calls["Tx"] = func(key string, ttl uint64) (*kvdb.KVPair, error) {
		tx, err := e.kv.TxNew()
		if err != nil {
			return nil, err
		}
		pair, err := tx.Put(key, "ttl", ttl)
		if err != nil {
			return nil, err
		}
		return pair, tx.Commit()
	}
	return calls
}

func ttlRefused(e *env) {
	least, most := e.traits.MinTTL, e.traits.MaxTTL
	refused := []uint64{math.MaxUint64, math.MaxInt64, math.MaxInt64/uint64(time.Second) + 1}
	switch {
	case e.traits.NoTTL:
		e.except("TTL: `ErrTTLNotSupported`")
		refused = append(refused, 1, 10, 60, 3600)
	case least > time.Second && most > 0:
		e.except("TTL below %v and above %v: `ErrTTLNotSupported`", least, most)
	case least > time.Second:
		e.except("TTL below %v: `ErrTTLNotSupported`", least)
	}
	if least > time.Second {
		refused = append(refused, 1, uint64((least-1)/time.Second))
	}
	if most > 0 {
		refused = append(refused, uint64(most/time.Second)+1)
	}
	before := e.put("key", "before")
	for call, write := range e.withTTL() {
		for _, ttl := range refused {
			_, err := write("key", ttl)
			e.True(err == kvdb.ErrTTLNotSupported, "%s with a TTL of %d s returned %v; by Traits.NoTTL, MinTTL and MaxTTL it must be kvdb.ErrTTLNotSupported itself", call, ttl, err)
		}
	}
	e.Equal(before.ModifiedIndex, e.holds("key", "before").ModifiedIndex)
	e.missing("key-new")
	e.Equal([]string{"key"}, e.enumerate(""))
}

// The TTL of a pair that was read is the rest in seconds, rounded up.
func ttlRemaining(e *env) {
	if e.traits.NoTTL {
		return // another case asserts that
	}
	if e.traits.TTLUntold {
		e.except("the TTL of a pair that was read is 0")
	}
	const ttl = 1000
	began := time.Now()
	check := func(call string, pair *kvdb.KVPair, err error) {
		e.t.Helper()
		e.NoError(err, call)
		untold := e.traits.TTLUntold && (call != "Serialize" || e.lacks(ttlPart))
		if untold || pair.Key != "dir/ttl" {
			e.Zero(pair.TTL, "the TTL in the pair of %s that %s returned", pair.Key, call)
			return
		}
		e.GreaterOrEqual(pair.TTL, ttl-int64(time.Since(began)/time.Second), call)
		e.LessOrEqual(pair.TTL, ttl+int64(e.traits.TTLSlack/time.Second), call)
	}
	_, err := e.kv.Put("dir/ttl", `"value"`, ttl)
	e.NoError(err)
	e.put("dir/no ttl", `"value"`)
	e.eachRead("dir/ttl", check)
	e.eachRead("dir/no ttl", check)
	e.eachList("dir/", 2, check)
	e.put("dir/ttl", "without")
	pair, err := e.kv.Get("dir/ttl")
	e.NoError(err)
	e.Zero(pair.TTL, "a later write without a TTL removes it")
}

// eachRead calls check with the result of every call that reads one key.
func (e *env) eachRead(key string, check func(call string, pair *kvdb.KVPair, err error)) {
	e.t.Helper()
	pair, err := e.kv.Get(key)
	check("Get", pair, err)
	var value string
	pair, err = e.kv.GetVal(key, &value)
	check("GetVal", pair, err)
	if e.traits.NoTx {
		return
	}
	tx, err := e.kv.TxNew()
	e.NoError(err)
	pair, err = tx.Get(key)
	check("Tx.Get", pair, err)
	e.NoError(tx.Abort())
}

// eachList calls check with each of the n pairs of every call that lists them.
func (e *env) eachList(prefix string, n int, check func(call string, pair *kvdb.KVPair, err error)) {
	e.t.Helper()
	pairs, err := e.kv.Enumerate(prefix)
	e.NoError(err)
	selected, err := e.kv.EnumerateKVPWithSelect(prefix,
		func(pair *kvdb.KVPair, _ interface{}) bool { check("select callback", pair, nil); return true },
		func(pair *kvdb.KVPair, _ interface{}) *kvdb.KVPair { return pair })
	e.NoError(err)
	serialized, err := e.kv.Serialize()
	e.NoError(err)
	backup, err := e.kv.Deserialize(serialized)
	e.NoError(err)
	for call, pairs := range map[string]kvdb.KVPairs{
		"Enumerate": pairs, "EnumerateKVPWithSelect": selected, "Serialize": backup, "pages": e.pages(prefix, 1),
	} {
		e.Len(pairs, n, call)
		for _, pair := range pairs {
			check(call, pair, nil)
		}
	}
}

// A key with a TTL expires, whatever call wrote it. A key whose TTL a later write removed or
// replaced does not. Those keys are written first, so that a wrong timer would end before
// the others expire.
func ttlExpiry(e *env) {
	if e.traits.NoTTL {
		return // another case asserts that
	}
	least := max(e.traits.MinTTL, time.Second)
	ttl := uint64(least / time.Second)
	stay := e.putThatStay(ttl)

	r := e.watchTree("x-", 0)
	began, expiring := time.Now(), []string{}
	_, err := e.kv.Put("list/key", "value", ttl)
	e.NoError(err)
	unlisted := make(chan error, 1)
	go func() { unlisted <- e.expiresEverywhere("list/") }()
	for call, write := range e.withTTL() {
		key := "x-" + call
		if call != "Create" {
			_, err := e.kv.Put(key, "before", 100*ttl) // the later write has a shorter TTL
			e.NoError(err)
		}
		pair, err := write(key, ttl)
		e.NoError(err, call)
		e.EqualValues(ttl, pair.TTL, call)
		expiring = append(expiring, pair.Key)
	}
	expired := map[string]*kvdb.KVPair{}
	if r == nil {
		for _, key := range expiring {
			e.expires(key, began.Add(least), least+e.traits.TTLSlack)
		}
	}
	for r != nil && len(expired) < len(expiring) {
		event := r.callWithin(2*least + e.traits.TTLSlack + patience).pair
		e.NotNil(event)
		if event.Action == kvdb.KVCreate || event.Action == kvdb.KVSet {
			continue
		}
		e.NotContains(expired, event.Key, "expired twice")
		e.GreaterOrEqual(time.Since(began), least-50*time.Millisecond, "%s expired early", event.Key)
		if e.traits.ExpiryTold {
			e.except("an expiry comes as KVExpire")
			e.acted(kvdb.KVExpire, event, "the event of an expiry (Traits.ExpiryTold)")
		} else {
			e.acted(kvdb.KVDelete, event, "the event of an expiry (Traits.ExpiryTold is not set)")
		}
		_, err := e.kv.Get(event.Key)
		e.is(kvdb.ErrNotFound, err)
		expired[event.Key] = event
	}
	e.LessOrEqual(time.Since(began), 2*least+e.traits.TTLSlack+patience)
	e.NoError(wait(e, unlisted, "a key with a TTL expires"))
	e.missing(expiring...)
	e.Empty(e.enumerate("x-"))
	slices.Sort(stay)
	e.Equal(stay, e.enumerate("stay-"))
	for _, key := range expiring {
		again, err := e.kv.Create(key, "again", 0)
		e.NoError(err)
		if r != nil {
			e.Greater(again.ModifiedIndex, expired[key].ModifiedIndex, "the ModifiedIndex of a write after the expiry, which has an index of its own")
		}
	}
}

// expiresEverywhere waits until Get no longer finds the key "key" of dir, and returns an error
// if another read still has it then.
func (e *env) expiresEverywhere(dir string) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for _, err := e.kv.Get(dir + "key"); err != kvdb.ErrNotFound; _, err = e.kv.Get(dir + "key") {
		if err != nil {
			return err
		}
		<-ticker.C
	}
	pairs, err := e.kv.Enumerate(dir)
	names, keysErr := e.kv.Keys(dir, "")
	if err = errors.Join(err, keysErr); err == nil && len(pairs)+len(names) > 0 {
		err = fmt.Errorf("Get says that a pair has expired, and Enumerate returns %d pairs and Keys %q; a pair that has expired must be gone from every read at once", len(pairs), names)
	}
	if err != nil || e.lacks(snapshotPart) {
		return err
	}
	snapshot, _, err := e.kv.Snapshot([]string{dir}, true)
	if err != nil {
		return err
	}
	pairs, err = snapshot.Enumerate("")
	if err == nil && len(pairs) > 0 {
		err = errors.New("Get says that a pair has expired, and a later Snapshot has it; a pair that has expired must be gone from every read at once")
	}
	return errors.Join(err, kvdb.Close(snapshot))
}

// expires waits until key has expired, on a store without watches. It asserts that this is
// not before due, and not much later than slack after it.
func (e *env) expires(key string, due time.Time, slack time.Duration) {
	e.t.Helper()
	var gone time.Time
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := due.Add(slack + patience); gone.IsZero(); <-ticker.C {
		e.True(time.Now().Before(deadline), "%s must expire; Traits.TTLSlack declares how late", key)
		_, err := e.kv.Get(key)
		if err == nil {
			continue
		}
		e.is(kvdb.ErrNotFound, err)
		gone = time.Now()
	}
	e.GreaterOrEqual(gone.Sub(due), -50*time.Millisecond, "%s expired early", key)
}

// putThatStay writes keys whose TTL a later write removes or replaces.
func (e *env) putThatStay(ttl uint64) []string {
	var keys []string
	for name, later := range map[string]func(key string, pair *kvdb.KVPair) error{
		"put":    func(key string, _ *kvdb.KVPair) error { _, err := e.kv.Put(key, "2", 0); return err },
		"update": func(key string, _ *kvdb.KVPair) error { _, err := e.kv.Update(key, "2", 0); return err },
		"longer": func(key string, _ *kvdb.KVPair) error { _, err := e.kv.Put(key, "2", 100*ttl); return err },
		"recreated": func(key string, _ *kvdb.KVPair) error {
			if _, err := e.kv.Delete(key); err != nil {
				return err
			}
			_, err := e.kv.Create(key, "2", 0)
			return err
		},
		"set": func(_ string, pair *kvdb.KVPair) error {
			_, err := e.kv.CompareAndSet(pair, kvdb.KVModifiedIndex, nil)
			return err
		},
	} {
		key := "stay-" + name
		pair, err := e.kv.Put(key, "1", ttl)
		e.NoError(err)
		e.NoError(later(key, pair), name)
		keys = append(keys, key)
	}
	if !e.traits.NoTx {
		_, err := e.kv.Put("stay-tx", "1", ttl)
		e.NoError(err)
		_, err = e.txPut("stay-tx", "2")
		e.NoError(err)
		keys = append(keys, "stay-tx")
	}
	return keys
}
