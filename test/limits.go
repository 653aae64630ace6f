package test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/portworx/kvdb"
)

// longKey is the length, with the domain, of the longest key for which Limits.MaxValue holds.
const longKey = 1 << 10

// limits returns kvdb.LimitsOf of the instance, and false if it does not report its limits.
func (e *env) limits() (kvdb.Limits, bool) {
	e.t.Helper()
	l := kvdb.LimitsOf(e.kv)
	if l.CheckKey == nil {
		e.Equal(kvdb.Limits{}, l, "kvdb.Limits without CheckKey must be the zero value")
		return l, false
	}
	for _, n := range []int{l.MaxKey, l.MaxValue, l.MaxTxOps, l.MaxTxBytes, l.DomainBytes, int(l.MinTTL), int(l.MaxTTL)} {
		e.GreaterOrEqual(n, 0, "%+v", l)
	}
	return l, true
}

// CheckKey says of each key what Put says. A key of MaxKey can be written, a longer one not.
func keysLimits(e *env) {
	l, known := e.limits()
	if !known {
		return
	}
	e.Equal(e.domain, l.Domain, "Limits.Domain must be the domain that was given to New")
	e.Equal(e.traits.HiddenUnlisted, l.HiddenUnlisted, "Limits.HiddenUnlisted must say whether lists leave out keys with a hidden component")
	e.put("dir/key", "value")
	keys := append([]string{"", "a", "x//b", "/c", "dir/other", "dir", "d/" + notUTF8}, e.traits.IllegalKeys...)
	if l.MaxKey > 0 {
		keys = append(keys, strings.Repeat("k", l.MaxKey), strings.Repeat("k", l.MaxKey+1))
	}
	for _, key := range keys {
		shown := key[:min(len(key), 20)]
		pair, putErr := e.kv.Put(key, "value", 0)
		stored, err := l.CheckKey(key)
		if key == "dir" && l.NoKeyAboveKeys { // which depends on the other keys
			e.NoError(err)
			e.ErrorIs(putErr, kvdb.ErrIllegal, "by Limits.NoKeyAboveKeys a key cannot exist above others")
			continue
		}
		if err != nil {
			e.ErrorIs(err, kvdb.ErrIllegal, "CheckKey(%q)", shown)
			e.Error(putErr, "CheckKey refuses the key %q, and Put must do so too", shown)
			e.Equal(putErr.Error(), err.Error(), "CheckKey must return the error of calls with the key")
			continue
		}
		e.NoError(putErr, "CheckKey takes the key %q, and Put must do so too", shown)
		e.Equal(pair.Key, stored, "CheckKey must return the key that reads return")
		e.True(l.MaxKey == 0 || len(stored) <= l.MaxKey, "a key of %d bytes is over Limits.MaxKey, which is %d", len(stored), l.MaxKey)
	}
}

// A value of MaxValue can be written, whatever its bytes are. A much larger one can not.
func valuesLimits(e *env) {
	l, known := e.limits()
	if !known {
		return
	}
	_, err := e.kv.Put("empty", "", 0)
	if l.NoEmptyValue {
		e.is(kvdb.ErrEmptyValue, err)
	} else {
		e.NoError(err, "Limits.NoEmptyValue is not set")
	}
	key := strings.Repeat("k", longKey-len(e.domain)-len(kvdb.DefaultSeparator))
	size := maxProbeValue
	if l.MaxValue > 0 {
		size = min(size, l.MaxValue)
	}
	noise := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	for _, value := range [][]byte{bytes.Repeat([]byte("\n"), size), noise} {
		e.put(key, value)
		pair, err := e.kv.Get(key)
		e.NoError(err)
		e.True(bytes.Equal(value, pair.Value), "a value of Limits.MaxValue bytes must come back unchanged")
	}
	if l.MaxValue > 0 {
		_, err := e.kv.Put("large", bytes.Repeat([]byte("\n"), l.MaxValue+requestRoom), 0)
		e.ErrorIs(err, kvdb.ErrTooLarge, "a value of more than Limits.MaxValue bytes, which is %d", l.MaxValue)
		e.missing("large")
	}
}

// The smallest and the largest TTL are accepted, and those beyond them are not.
func ttlLimits(e *env) {
	l, known := e.limits()
	if !known {
		return
	}
	put := func(ttl time.Duration) error {
		_, err := e.kv.Put("key", "value", uint64(ttl/time.Second))
		return err
	}
	if l.NoTTL {
		for _, ttl := range []time.Duration{time.Second, time.Minute, time.Hour} {
			e.is(kvdb.ErrTTLNotSupported, put(ttl))
		}
		return
	}
	least := max(l.MinTTL, time.Second)
	e.NoError(put(least), "Limits.MinTTL is %v", l.MinTTL)
	if least > time.Second {
		e.is(kvdb.ErrTTLNotSupported, put(least-time.Second))
	}
	if l.MaxTTL > 0 {
		e.NoError(put(l.MaxTTL), "Limits.MaxTTL is %v", l.MaxTTL)
		e.is(kvdb.ErrTTLNotSupported, put(l.MaxTTL+time.Second))
		_, err := e.kv.Delete("key") // which frees what keeps the TTL
		e.NoError(err)
	}
}

// A transaction of MaxTxOps keys, or of MaxTxBytes, can be committed. Larger ones can not.
func txLimits(e *env) {
	l, known := e.limits()
	if !known {
		return
	}
	commit := func(keys int, write func(tx kvdb.Tx, key string) error) error {
		tx := e.tx()
		for i := range keys {
			e.NoError(write(tx, fmt.Sprintf("dir/%04d", i)))
		}
		return tx.Commit()
	}
	small := func(tx kvdb.Tx, key string) error { _, err := tx.Put(key, "value", 0); return err }
	ops := maxProbeTxOps
	if l.MaxTxOps > 0 {
		ops = l.MaxTxOps
		err := commit(ops+1, small)
		if e.traits.SingleKeyTx {
			e.is(kvdb.ErrNotSupported, err)
		} else {
			e.ErrorIs(err, kvdb.ErrTooLarge, "a transaction of more than Limits.MaxTxOps keys, which is %d", l.MaxTxOps)
		}
		e.Empty(e.enumerate("dir/"))
	}
	e.NoError(commit(ops, small), "Limits.MaxTxOps is %d", l.MaxTxOps)
	e.NoError(e.kv.DeleteTree("dir"))
	if l.MaxTxBytes == 0 {
		return
	}
	keys := min(ops, 64)
	room := l.MaxTxBytes/keys - l.TxBytes("dir/0000", nil)
	large := func(fill string, size int) func(tx kvdb.Tx, key string) error {
		return func(tx kvdb.Tx, key string) error {
			if _, err := tx.Get(key); err != nil && err != kvdb.ErrNotFound {
				return err
			}
			_, err := tx.Put(key, strings.Repeat(fill, size), 0)
			return err
		}
	}
	for _, fill := range []string{"\n", "x"} { // first the keys are created, then they are overwritten
		e.NoError(commit(keys, large(fill, room)), "Limits.MaxTxBytes is %d", l.MaxTxBytes)
	}
	e.ErrorIs(commit(keys, large("y", 2*room)), kvdb.ErrTooLarge, "a transaction of almost twice Limits.MaxTxBytes, which is %d", l.MaxTxBytes)
	e.holds("dir/0000", strings.Repeat("x", room))
}
