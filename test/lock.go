package test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb"
)

var lockGroup = group{name: "Locks", calls: "Lock, LockWithID, LockWithTimeout, Unlock, IsKeyLocked", needs: []*part{lockPart}, cases: []testCase{
	{name: "OneHolder", run: lockOneHolder},
	{name: "SameOwner", run: lockSameOwner},
	{name: "Pair", run: lockPair},
	{name: "IsKeyLocked", run: lockIsKeyLocked},
	{name: "TryDuration", run: lockTryDuration},
	{name: "HandOver", run: lockHandOver},
	{name: "EachWaiterOnce", run: lockEachWaiterOnce},
	{name: "CancelledWaiter", run: lockCancelledWaiter},
	{name: "Unlock", run: lockUnlock},
	{name: "HoldLimit", run: lockHoldLimit},
	{name: "HoldLimitOfTheInstance", run: lockHoldLimitOfTheInstance},
	{name: "FatalCallbackMayCall", run: lockFatalCallbackMayCall},
	{name: "NoFatalCallback", run: lockNoFatalCallback},
	{name: "BesideAValue", run: lockBesideAValue},
	{name: "NotEnumerated", run: lockNotEnumerated},
	{name: "Settings", run: lockSettings},
	{name: "CloseReleases", run: lockCloseReleases},
	{name: "CloseEndsWaiters", run: lockCloseEndsWaiters},
}}

// lock obtains a lock, and asserts that this succeeds in time. If the store has no locks,
// lock, unlock, notLost and isLocked assert that instead, and lock returns nil.
func (e *env) lock(kv kvdb.Kvdb, key, owner string) *kvdb.KVPair {
	e.t.Helper()
	pair, err := kv.LockWithTimeout(key, owner, patience, 0)
	if e.lacks(lockPart) {
		e.refused(lockPart, "LockWithTimeout", err)
		return nil
	}
	e.NoError(err)
	return pair
}

// unlock releases a lock that lock has returned.
func (e *env) unlock(kv kvdb.Kvdb, pair *kvdb.KVPair) {
	e.t.Helper()
	err := kv.Unlock(pair)
	if e.lacks(lockPart) {
		e.refused(lockPart, "Unlock", err)
		return
	}
	e.NoError(err)
}

// held returns the Lock field of the pair of a lock.
func (e *env) held(lock *kvdb.KVPair) kvdb.HeldLock {
	e.t.Helper()
	held, ok := lock.Lock.(kvdb.HeldLock)
	e.True(ok, "the Lock field of the pair is a %T, which must implement kvdb.HeldLock", lock.Lock)
	return held
}

// notLost asserts that the lock was not lost so far.
func (e *env) notLost(lock *kvdb.KVPair) {
	e.t.Helper()
	if e.lacks(lockPart) {
		return
	}
	select {
	case <-e.held(lock).Lost():
		e.Fail("Lost of the lock is closed, although the lock is held")
	default:
	}
}

// isLocked asserts which owner holds a lock, "" for none.
func (e *env) isLocked(key, owner string) {
	e.t.Helper()
	locked, by, err := e.kv.IsKeyLocked(key)
	if e.lacks(lockPart) {
		e.refused(lockPart, "IsKeyLocked", err)
		return
	}
	e.NoError(err)
	e.Equal(owner, by)
	e.Equal(owner != "", locked)
}

// Of many goroutines and several instances one holds the lock at a time, and
// its token is larger than that of each earlier holder.
func lockOneHolder(e *env) {
	const callers, rounds = 12, 5
	kvs := []kvdb.Kvdb{e.kv, e.peer(), e.peer()}
	var holders atomic.Int32
	token := uint64(0) // protected by the lock; the atomic holders makes that visible to the race detector
	e.put("count", 0)
	e.concurrently(callers, func(i int) error {
		for range rounds {
			kv := kvs[i%len(kvs)]
			pair, err := kv.LockWithTimeout("key", fmt.Sprint("caller ", i), patience, 0)
			if err != nil {
				return err
			}
			if n := holders.Add(1); n != 1 {
				return fmt.Errorf("%d holders", n)
			}
			if pair.ModifiedIndex <= token {
				return fmt.Errorf("token %d after %d", pair.ModifiedIndex, token)
			}
			token = pair.ModifiedIndex
			count, _, err := kvdb.GetAs[int](kv, "count")
			if err == nil {
				_, err = kv.Put("count", count+1, 0)
			}
			if err != nil {
				return err
			}
			for range 2 * callers { // gives the others the time to break the rule
				runtime.Gosched()
			}
			if n := holders.Add(-1); n != 0 {
				return fmt.Errorf("%d other holders", n)
			}
			if err := kv.Unlock(pair); err != nil {
				return err
			}
		}
		return nil
	})
	e.holds("count", strconv.Itoa(callers*rounds))
	e.isLocked("key", "")
}

// A lock excludes callers with the same ID too, because Lock uses one ID for all.
func lockSameOwner(e *env) {
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	first, err := e.kv.Lock("key")
	e.NoError(err)
	for _, kv := range kvs {
		_, err := kv.LockWithTimeout("key", "locked", 50*time.Millisecond, 0)
		e.ErrorIs(err, kvdb.ErrExist)
	}
	var holders atomic.Int32
	done := make(chan error, 1)
	go func() {
		done <- errors.Join(concurrently(6, func(i int) error {
			pair, err := kvs[i%2].Lock("key")
			if err != nil {
				return err
			}
			if n := holders.Add(1); n != 1 {
				return fmt.Errorf("%d holders", n)
			}
			for range 20 { // gives the others the time to break the rule
				runtime.Gosched()
			}
			holders.Add(-1)
			return kvs[i%2].Unlock(pair)
		})...)
	}()
	e.NoError(e.kv.Unlock(first))
	e.NoError(wait(e, done, "all goroutines have had the lock"))
}

func lockPair(e *env) {
	first := e.lock(e.kv, "dir/key", "me")
	e.Equal("dir/key", first.Key)
	e.Positive(first.ModifiedIndex)
	e.Equal(first.ModifiedIndex, e.held(first).Token())
	e.notLost(first)
	other := e.lock(e.kv, "dir/other", "me")
	e.NoError(e.kv.Unlock(first))
	e.notLost(first)
	second := e.lock(e.peer(), "dir/key", "you")
	e.Greater(second.ModifiedIndex, first.ModifiedIndex)
	e.Equal(second.ModifiedIndex, e.held(second).Token())
	e.notLost(other)
}

func lockIsKeyLocked(e *env) {
	e.isLocked("key", "")
	pair, err := e.kv.Lock("key")
	e.NoError(err)
	e.isLocked("key", "locked")
	e.isLocked("key2", "")
	e.NoError(e.kv.Unlock(pair))
	e.isLocked("key", "")
	pair, err = e.kv.LockWithID("key", "me")
	e.NoError(err)
	e.isLocked("key", "me")
	locked, owner, err := e.peer().IsKeyLocked("key")
	e.NoError(err)
	e.True(locked)
	e.Equal("me", owner)
	e.NoError(e.kv.Unlock(pair))
	pair = e.lock(e.kv, "key", "you")
	e.isLocked("key", "you")
	e.NoError(e.kv.Unlock(pair))
}

// The error of a lock that is not obtained in time names the key and the owner.
func lockTryDuration(e *env) {
	const try = 150 * time.Millisecond
	pair := e.lock(e.kv, "key", "the holder")
	for _, kv := range []kvdb.Kvdb{e.kv, e.peer()} {
		began := time.Now()
		_, err := kv.LockWithTimeout("key", "me", try, 0)
		e.GreaterOrEqual(time.Since(began), try, "LockWithTimeout must try for the whole try duration before it fails")
		e.Less(time.Since(began), try+patience/2, "LockWithTimeout must give up after the try duration")
		e.ErrorIs(err, kvdb.ErrExist, "the error of LockWithTimeout for a lock that another holds")
		e.ErrorContains(err, "key", "the error must name the key of the lock")
		e.ErrorContains(err, "the holder", "the error must name the owner of the lock")
		e.isLocked("key", "the holder")
	}
	e.NoError(e.kv.Unlock(pair))
	e.NoError(e.kv.Unlock(e.lock(e.kv, "key", "me")))
}

// A release wakes the next waiter. Polling once a second would take ten seconds here.
func lockHandOver(e *env) {
	const handOvers = 20
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	var took time.Duration
	pair := e.lock(kvs[0], "key", "0")
	for i := 1; i <= handOvers; i++ {
		kv, next := kvs[i%2], make(chan *kvdb.KVPair, 1)
		waiting := make(chan struct{})
		var err error
		go func() {
			close(waiting)
			var got *kvdb.KVPair
			got, err = kv.LockWithTimeout("key", fmt.Sprint(i), patience, 0)
			next <- got
		}()
		<-waiting
		_, tryErr := kv.LockWithTimeout("key", "in vain", 20*time.Millisecond, 0) // lets the other begin to wait
		e.ErrorIs(tryErr, kvdb.ErrExist)
		released := time.Now()
		e.NoError(kvs[(i+1)%2].Unlock(pair))
		pair = wait(e, next, "the next waiter obtains the lock")
		took += time.Since(released)
		e.NoError(err)
	}
	// A waiter that polls once a second would need half of one in the mean; a disk may be slow.
	e.Less(took, 8*time.Second, "the time of %d hand-overs; a release must wake the next waiter, without polling", handOvers)
	e.NoError(kvs[handOvers%2].Unlock(pair))
}

func lockEachWaiterOnce(e *env) {
	const waiters = 40
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	first := e.lock(e.kv, "key", "first")
	obtained := make(chan int, waiters)
	done := make(chan error, 1)
	go func() {
		done <- errors.Join(concurrently(waiters, func(i int) error {
			pair, err := kvs[i%2].LockWithTimeout("key", "waiter", patience, 0)
			if err != nil {
				return err
			}
			obtained <- i
			return kvs[i%2].Unlock(pair)
		})...)
	}()
	e.NoError(e.kv.Unlock(first))
	e.NoError(wait(e, done, "all waiters return"))
	e.Len(obtained, waiters)
	e.isLocked("key", "")
}

// A waiter whose context ends gives up, and does not delay the others.
func lockCancelledWaiter(e *env) {
	pair := e.lock(e.kv, "key", "holder")
	kvs := []kvdb.Kvdb{e.kv, e.peer()}
	for _, kv := range kvs {
		ctx, cancel := context.WithCancel(e.t.Context())
		ended := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := kvdb.WithContext(ctx, kv).LockWithTimeout("key", "cancelled", time.Hour, 0)
				ended <- err
			}()
		}
		_, err := kv.LockWithTimeout("key", "in vain", 20*time.Millisecond, 0)
		e.ErrorIs(err, kvdb.ErrExist)
		cancel()
		for range 2 {
			e.ErrorIs(wait(e, ended, "the waiter whose context was cancelled returns"), context.Canceled)
		}
	}
	e.isLocked("key", "holder")
	e.NoError(e.kv.Unlock(pair))
	e.isLocked("key", "")
	for _, kv := range kvs {
		e.NoError(kv.Unlock(e.lock(kv, "key", "next")))
	}
}

type notALock struct{}

func lockUnlock(e *env) {
	pair := e.lock(e.kv, "key", "me")
	e.NoError(e.kv.Unlock(pair))
	e.NoError(e.kv.Unlock(pair), "twice")
	next := e.lock(e.kv, "key", "next")
	e.NoError(e.kv.Unlock(pair), "a second Unlock must do nothing, although another client holds the lock")
	e.isLocked("key", "next")
	value := e.put("value", "x")
	for _, wrong := range []*kvdb.KVPair{
		nil, {}, {Key: "key"}, value, {Key: "key", Lock: notALock{}}, {Key: "key", Lock: "locked"},
		{Key: next.Key, Value: next.Value, ModifiedIndex: next.ModifiedIndex},
	} {
		e.is(kvdb.ErrInvalidLock, e.kv.Unlock(wrong))
	}
	e.isLocked("key", "next")
	e.NoError(e.kv.Unlock(next))
	e.isLocked("key", "")
}
