package test

import (
	"time"

	"github.com/portworx/kvdb"
)

// A lock and a value at one key are independent. If the store keeps them in one place
// (Traits.LockSharesKey), they exclude each other.
func lockBesideAValue(e *env) {
	e.put("key", "value")
	if e.traits.LockSharesKey {
		e.except("a lock and a value share the key")
		_, err := e.kv.Lock("key")
		e.is(kvdb.ErrInvalidLock, err)
		_, _, err = e.kv.IsKeyLocked("key")
		e.is(kvdb.ErrInvalidLock, err)
		e.holds("key", "value")
		return
	}
	e.isLocked("key", "")
	pair := e.lock(e.kv, "key", "me")
	e.holds("key", "value")
	e.put("key", "written under the lock")
	e.isLocked("key", "me")
	_, err := e.kv.Delete("key")
	e.NoError(err)
	e.isLocked("key", "me")
	e.missing("key")
	_, err = e.kv.Create("key", "again", 0)
	e.NoError(err)
	e.notLost(pair)
	e.NoError(e.kv.DeleteTree(""))
	e.isLocked("key", "me")
	e.notLost(pair)
	e.put("key", "last")
	e.NoError(e.kv.Unlock(pair))
	e.holds("key", "last")
	e.isLocked("key", "")
}

func lockNotEnumerated(e *env) {
	e.put("value", "x")
	before := e.enumerate("")
	for _, key := range []string{"key", "dir/key", e.domain + "/key"} {
		pair := e.lock(e.kv, key, "me")
		e.Equal(before, e.enumerate(""))
		e.Empty(e.enumerate(key))
		values, err := e.kv.EnumerateWithSelect("", func(interface{}) bool { return true },
			func(val interface{}) interface{} { return val })
		e.NoError(err)
		e.Len(values, 1)
		if !e.traits.LockSharesKey {
			e.missing(key)
		}
		e.NoError(e.kv.Unlock(pair))
		e.missing(key)
	}
	e.Equal(before, e.enumerate(""))
}

func lockSettings(e *env) {
	e.Equal(kvdb.DefaultLockTryDuration, e.kv.GetLockTryDuration())
	e.Zero(e.kv.GetLockHoldDuration(), "the default of GetLockHoldDuration is 0, no limit")
	e.kv.SetLockHoldDuration(time.Minute)
	e.Equal(time.Minute, e.kv.GetLockHoldDuration())
	peer := e.open(e.domain)
	e.Zero(peer.GetLockHoldDuration(), "SetLockHoldDuration changes one instance only")
}

// The locks of an instance are free when it is closed, and its waiters give up.
func lockCloseReleases(e *env) {
	kv := e.open(e.domain)
	pair := e.lock(kv, "key", "closed")
	peer := e.peer()
	obtained := make(chan *kvdb.KVPair, 1)
	if !e.traits.PrivateStore {
		go func() {
			pair, _ := peer.LockWithTimeout("key", "next", patience, 0)
			obtained <- pair
		}()
		_, err := peer.LockWithTimeout("key", "in vain", 50*time.Millisecond, 0)
		e.ErrorIs(err, kvdb.ErrExist)
	}
	e.close(kv)
	wait(e, e.held(pair).Lost(), "Lost of the lock is closed")
	e.Error(kv.Unlock(pair))
	if e.traits.PrivateStore {
		return
	}
	next := waitFor(e, obtained, 10*time.Second, "another client obtains the lock of an instance that was closed")
	e.NotNil(next)
	e.Greater(next.ModifiedIndex, pair.ModifiedIndex)
	e.isLocked("key", "next")
	e.NoError(peer.Unlock(next))
}

// Close ends those who wait for a lock.
func lockCloseEndsWaiters(e *env) {
	kv := e.open(e.domain)
	e.lock(kv, "key", "holder")
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := kv.LockWithTimeout("key", "waiter", time.Hour, 0)
			ended <- err
		}()
	}
	_, err := kv.LockWithTimeout("key", "in vain", 50*time.Millisecond, 0)
	e.ErrorIs(err, kvdb.ErrExist)
	e.close(kv)
	for range 2 {
		e.ErrorIs(wait(e, ended, "a waiter returns, because its instance is closed"), kvdb.ErrClosed)
	}
}
