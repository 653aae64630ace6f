package test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portworx/kvdb"
)

// fatal is one call of a fatal callback.
type fatal struct {
	err  error
	text string
}

// fatals returns a fatal callback and the channel of its calls.
func fatals() (kvdb.FatalErrorCB, chan fatal) {
	calls := make(chan fatal, 100)
	return func(err error, format string, args ...interface{}) {
		calls <- fatal{err, fmt.Sprintf(format, args...)}
	}, calls
}

// isHoldLimit asserts a report about a lock that was held for too long.
func (e *env) isHoldLimit(call fatal, key, owner string) {
	e.t.Helper()
	e.is(kvdb.ErrLockHoldTimeoutTriggered, call.err)
	e.Contains(call.text, key)
	e.Contains(call.text, owner)
}

// A lock held for too long is reported once, and stays held.
func lockHoldLimit(e *env) {
	cb, calls := fatals()
	kv := e.openWith(e.domain, nil, cb)
	began := time.Now()
	pair, err := kv.LockWithTimeout("the-key", "the-owner", patience, 100*time.Millisecond)
	e.NoError(err)
	e.isHoldLimit(wait(e, calls, "the fatal callback is called"), "the-key", "the-owner")
	e.GreaterOrEqual(time.Since(began), 100*time.Millisecond)
	e.notLost(pair)
	locked, owner, err := kv.IsKeyLocked("the-key")
	e.NoError(err)
	e.True(locked)
	e.Equal("the-owner", owner)
	_, err = kv.LockWithTimeout("the-key", "other", 250*time.Millisecond, 0)
	e.ErrorIs(err, kvdb.ErrExist)
	e.NoError(kv.Unlock(pair))

	const short = 100 * time.Millisecond
	began = time.Now()
	pair, err = kv.LockWithTimeout("the-key", "in time", patience, short)
	e.NoError(err)
	e.NoError(kv.Unlock(pair))
	late := time.Since(began) >= short // on a busy machine
	later, err := kv.LockWithTimeout("later", "later", patience, short)
	e.NoError(err)
	report := wait(e, calls, "the fatal callback is called")
	if late && strings.Contains(report.text, "in time") {
		report = wait(e, calls, "the fatal callback is called")
	}
	e.isHoldLimit(report, "later", "later")
	e.NoError(kv.Unlock(later))
	e.Empty(calls)
}

// Lock and LockWithID take the limits and the callback of the instance.
func lockHoldLimitOfTheInstance(e *env) {
	kv := e.openWith(e.domain, nil, nil)
	cb, calls := fatals()
	kv.SetFatalCb(cb)
	kv.SetLockHoldDuration(50 * time.Millisecond)
	e.Equal(50*time.Millisecond, kv.GetLockHoldDuration())
	pair, err := kv.Lock("one")
	e.NoError(err)
	e.isHoldLimit(wait(e, calls, "the fatal callback is called"), "one", "locked")
	e.NoError(kv.Unlock(pair))
	pair, err = kv.LockWithID("two", "me")
	e.NoError(err)
	e.isHoldLimit(wait(e, calls, "the fatal callback is called"), "two", "me")
	e.NoError(kv.Unlock(pair))
	kv.SetLockHoldDuration(0)
	e.Zero(kv.GetLockHoldDuration())
}

// The callback may call the library, because no mutex of the library is held.
func lockFatalCallbackMayCall(e *env) {
	pairs, unlocked := make(chan *kvdb.KVPair, 1), make(chan error, 1)
	var kv kvdb.Kvdb
	kv = e.openWith(e.domain, nil, func(error, string, ...interface{}) {
		kv.SetLockHoldDuration(time.Hour)
		_, err := kv.Put("from the callback", "value", 0)
		unlocked <- errors.Join(err, kv.Unlock(<-pairs))
	})
	pair, err := kv.LockWithTimeout("key", "me", patience, 20*time.Millisecond)
	e.NoError(err)
	pairs <- pair
	e.NoError(wait(e, unlocked, "the fatal callback is called"))
	locked, _, err := kv.IsKeyLocked("key")
	e.NoError(err)
	e.False(locked)
}

// Without a callback nothing happens when a lock is held for too long. A second lock with a
// longer limit shows that the time has passed.
func lockNoFatalCallback(e *env) {
	silent := e.openWith(e.domain, nil, nil)
	cb, calls := fatals()
	kv := e.openWith(e.domain, nil, cb)
	pair, err := silent.LockWithTimeout("silent", "me", patience, 20*time.Millisecond)
	e.NoError(err)
	later, err := kv.LockWithTimeout("later", "me", patience, 120*time.Millisecond)
	e.NoError(err)
	wait(e, calls, "the fatal callback is called")
	e.notLost(pair)
	e.NoError(silent.Unlock(pair))
	e.NoError(kv.Unlock(later))
}
