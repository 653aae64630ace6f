package test

import (
	"errors"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/portworx/kvdb"
)

// The largest value, in bytes, and the largest number of keys in a transaction
// that are tried. A backend that takes them has no limit.
const (
	maxProbeValue = 8 << 20
	maxProbeTxOps = 1000
)

// notUTF8 is a key that stores with textual keys refuse.
const notUTF8 = "a\xffb"

// requestRoom is the largest size in bytes of a request without its value.
const requestRoom = 4 << 10

// probe finds out the traits of the backend by trying. It reopens the case's
// instance, and takes from the case's traits which parts the store lacks.
func (e *env) probe() Traits {
	e.t.Helper()
	var t Traits
	e.probeParts(&t)
	t.FoldedUpdates = e.kv.Capabilities()&kvdb.KVCapabilityOrderedUpdates == 0
	other := e.open(e.domain)
	_, err := other.Put("peer", "value", 0)
	e.NoError(err)
	_, there := e.kv.Get("peer")
	e.put("key", "value")
	_, here := other.Get("key")
	t.PrivateStore = there == kvdb.ErrNotFound || here == kvdb.ErrNotFound
	e.close(other)
	existing, err := e.kv.Create("key", "value", 0)
	e.is(kvdb.ErrExist, err)
	t.ExistingPair = existing != nil
	_, err = e.kv.GetWithCopy("key", func(val interface{}) interface{} {
		_, isBytes := val.([]byte)
		t.Objects = !isBytes
		return val
	})
	e.NoError(err)
	e.probeKeys(&t)
	e.probeTTL(&t)
	_, err = e.kv.Put("empty", "", 0)
	t.NoEmptyValue = err == kvdb.ErrEmptyValue
	t.MaxValue = e.probeValue()
	e.probeTx(&t)
	e.probeLock(&t)
	e.probeWatch(&t)
	e.probeAdmin(&t)
	if !t.PrivateStore && !t.NoWatches {
		e.probeReopen(&t)
	}
	return t
}

func (e *env) probeKeys(t *Traits) {
	pair, err := e.kv.Put("dir//key", "value", 0)
	t.FoldedSlashes = err == nil && pair.Key == "dir/key"
	e.put("directory/key", "value")
	_, err = e.kv.Put("directory", "value", 0)
	t.Directories = errors.Is(err, kvdb.ErrIllegal)
	e.put("_hidden", "value")
	names, err := e.kv.Keys("", "")
	e.NoError(err)
	t.HiddenUnlisted = !slices.Contains(names, "_hidden")
	for _, key := range []string{"./a", "a/..", "a/../b", "a/./b", "a\x00b", notUTF8} {
		if _, err := e.kv.Put(key, "value", 0); errors.Is(err, kvdb.ErrIllegal) {
			t.IllegalKeys = append(t.IllegalKeys, key)
		}
	}
}

// probeTTL looks for the smallest and the largest TTL, in seconds.
func (e *env) probeTTL(t *Traits) {
	const century = 100 * 365 * 24 * 3600
	takes := func(seconds int) bool {
		_, err := e.kv.Put("ttl", "value", uint64(seconds))
		return err != kvdb.ErrTTLNotSupported
	}
	some := 0
	for _, seconds := range []int{1, 60, 3600} {
		if takes(seconds) {
			some = seconds
			break
		}
	}
	if t.NoTTL = some == 0; t.NoTTL {
		return
	}
	pair, err := e.kv.Get("ttl")
	e.NoError(err)
	t.TTLUntold = pair.TTL == 0
	least := 1 + sort.Search(some-1, func(i int) bool { return takes(1 + i) })
	if least > 1 {
		t.MinTTL = time.Duration(least) * time.Second
	}
	most := some + sort.Search(2*century-some, func(i int) bool { return !takes(some + i + 1) })
	if most < 2*century {
		t.MaxTTL = time.Duration(most) * time.Second
	}
	_, err = e.kv.Delete("ttl")
	e.NoError(err)
}

// probeValue returns the limit in bytes that the error of too large a value names, or 0.
// It is the limit of a value, or of the request that has the value in it.
func (e *env) probeValue() int {
	large := strings.Repeat("x", maxProbeValue)
	put := func(n int) error {
		_, err := e.kv.Put("large", large[:n], 0)
		return err
	}
	refused := func(n int) bool { return errors.Is(put(n), kvdb.ErrTooLarge) }
	if !refused(maxProbeValue) {
		return 0
	}
	largest := sort.Search(maxProbeValue, func(n int) bool { return refused(n + 1) })
	err := put(min(largest+requestRoom+1, maxProbeValue)) // whose size is no candidate
	e.ErrorIs(err, kvdb.ErrTooLarge)
	for _, number := range regexp.MustCompile(`\d+`).FindAllString(err.Error(), -1) {
		if n, _ := strconv.Atoi(number); n >= largest && n <= largest+requestRoom {
			return n
		}
	}
	return largest
}

func (e *env) probeTx(t *Traits) {
	try := func(keys int, end func(kvdb.Tx) error) error {
		tx, err := e.kv.TxNew()
		for i := 0; i < keys && err == nil; i++ {
			// A different value each time, because Consul sends more operations for a key
			// that exists.
			_, err = tx.Put(manyKey(i), keys, 0)
		}
		if err != nil {
			return err
		}
		return end(tx)
	}
	prepare := func(keys int) error {
		return try(keys, func(tx kvdb.Tx) error { return errors.Join(tx.Prepare(), tx.Abort()) })
	}
	commit := func(keys int) error { return try(keys, kvdb.Tx.Commit) }
	if t.NoTx {
		return
	}
	t.SingleKeyTx = errors.Is(prepare(2), kvdb.ErrNotSupported)
	if t.SingleKeyTx {
		return
	}
	most := sort.Search(maxProbeTxOps, func(n int) bool { return errors.Is(commit(n+1), kvdb.ErrTooLarge) })
	if most < maxProbeTxOps {
		t.MaxTxOps = most
		t.ServerTxLimit = prepare(most+1) == nil
	}
}

func (e *env) probeLock(t *Traits) {
	if t.NoLocks {
		return
	}
	pair, err := e.kv.LockWithTimeout("key", "probe", time.Second, 0)
	t.LockSharesKey = err == kvdb.ErrInvalidLock
	if !t.LockSharesKey {
		e.NoError(err)
		e.NoError(e.kv.Unlock(pair))
	}
}

func (e *env) probeWatch(t *Traits) {
	if t.NoWatches {
		return
	}
	start := e.put("watch/0", "value")
	e.put("watch/1", "value")
	_, err := e.kv.Delete("watch/1")
	e.NoError(err)
	now, past := e.watchTree("watch/", 0), e.watchTree("watch/", start.ModifiedIndex)
	e.put("watch/2", "value")
	c := now.call()
	e.NoError(c.err)
	t.HistoryFirst = c.pair.Key == "watch/0"
	t.ChangedKeyAsPrefix = c.prefix == e.domain+"/"+c.pair.Key
	if c.pair.Key != "watch/2" {
		now.until("watch/2")
	}
	t.NoPastDeletions = true
	for _, event := range past.until("watch/2") {
		if event.Key == "watch/1" && event.Action == kvdb.KVDelete {
			t.NoPastDeletions = false
		}
	}
	_, err = e.kv.Delete("watch/2")
	e.NoError(err)
	t.DeletedValue = string(now.next().Value) == "value"
}

func (e *env) probeAdmin(t *Traits) {
	_, members := e.kv.ListMembers()
	t.Members = members != kvdb.ErrNotSupported
	_, update := e.kv.UpdateMember("127.0.0.1", "1", "kvdb-test-nobody")
	t.MembersJoin = t.Members && update == kvdb.ErrNotSupported
	_, learner := e.kv.AddLearner("", "", "kvdb-test-nobody")
	t.NoLearners = t.Members && !t.MembersJoin && learner == kvdb.ErrNotSupported
	const nobody = "kvdb-test-nobody"
	t.Users = e.kv.RemoveUser(nobody) != kvdb.ErrNotSupported
	kv, err := e.tryOpen(e.domain, map[string]string{kvdb.UsernameKey: nobody, kvdb.PasswordKey: nobody}, nil)
	t.NoLogin = err == kvdb.ErrAuthNotSupported
	if err == nil {
		e.NoError(kvdb.Close(kv))
	}
	endpoints, endpoint := e.kv.GetEndpoints(), ""
	if len(endpoints) > 0 {
		endpoint = endpoints[0]
	}
	t.Endpoints = e.kv.SetEndpoints(endpoints) != kvdb.ErrNotSupported
	t.Defragment = e.kv.Defragment(endpoint, int(patience/time.Second)) != kvdb.ErrNotSupported
	t.NoCompact = e.kv.Compact(1) == kvdb.ErrNotSupported
}

// probeReopen finds out whether the history survives the Close of the only instance.
func (e *env) probeReopen(t *Traits) {
	start := e.put("reopen", "1")
	e.put("reopen", "2")
	e.close(e.kv)
	e.kv = e.open(e.domain)
	r := e.watchKey("reopen", start.ModifiedIndex)
	c := r.callOrFail(patience, "a watch from an index before the reopen must deliver what came since, or end with kvdb.ErrWatchRevisionCompacted; see Traits.VolatileHistory")
	t.VolatileHistory = c.err == kvdb.ErrWatchRevisionCompacted
}

// probeExpiry finds out the Action of the event of an expiry, TTLSlack and TTLBound. It takes
// as long as the smallest TTL, so that stores that count TTLs in seconds tell one less.
func (e *env) probeExpiry(t *Traits) {
	if t.NoTTL {
		return
	}
	least := max(t.MinTTL, time.Second)
	_, err := e.kv.Put("rest", "value", someTTL)
	e.NoError(err)
	whole, _, err := kvdb.TTLOf(e.kv, "rest")
	told := err == nil
	r := e.watchKey("expiry", e.index())
	began := time.Now()
	_, err = e.kv.Put("expiry", "value", uint64(least/time.Second))
	e.NoError(err)
	if r != nil {
		r.next()
		c := r.callWithin(2*least + patience)
		e.NoError(c.err)
		t.ExpiryTold = c.pair.Action == kvdb.KVExpire
	} else {
		e.expires("expiry", began.Add(least), least)
	}
	t.TTLSlack = time.Since(began)
	if told {
		rest, _, err := kvdb.TTLOf(e.kv, "rest")
		e.NoError(err)
		t.TTLBound = rest >= whole
	}
}
