package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
)

const defaultLockerID = "locked"

// Lock locks key for the locker ID "locked".
func (kv *Kvdb) Lock(key string) (*kvdb.KVPair, error) {
	return kv.LockWithID(key, defaultLockerID)
}

// LockWithID locks key for lockerID.
func (kv *Kvdb) LockWithID(key, lockerID string) (*kvdb.KVPair, error) {
	return kv.LockWithTimeout(key, lockerID, kv.GetLockTryDuration(), kv.GetLockHoldDuration())
}

// LockWithTimeout locks key for lockerID.
func (kv *Kvdb) LockWithTimeout(key, lockerID string, lockTryDuration, lockHoldDuration time.Duration) (*kvdb.KVPair, error) {
	full, err := kv.key(key)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := kv.beginUnbounded()
	if err != nil {
		return nil, err
	}
	defer cancel()
	lease, err := kv.obtain(ctx, full, lockerID, lockTryDuration)
	if held := (*driver.HeldError)(nil); errors.As(err, &held) {
		return nil, fmt.Errorf("%w: lock %q is held by %q, not obtained within %v",
			kvdb.ErrExist, key, held.Owner, lockTryDuration)
	} else if err != nil {
		return nil, err
	}
	h := &heldLock{
		instance: kv.instance, lease: lease, key: key, owner: lockerID,
		since: time.Now().Round(0), done: make(chan struct{}), unlocking: make(chan struct{}, 1),
	}
	if !kv.launch(func() { h.watch(lockHoldDuration) }) {
		return nil, kvdb.ErrClosed // the store's Close releases the lease
	}
	token := lease.Token()
	return &kvdb.KVPair{
		Key: kv.relative(full), Value: []byte(lockerID), Action: kvdb.KVCreate,
		KVDBIndex: token, CreatedIndex: token, ModifiedIndex: token, Lock: h,
	}, nil
}

// obtain gets the lock from the store when it is this waiter's turn.
func (kv *Kvdb) obtain(ctx context.Context, full, owner string, wait time.Duration) (driver.Lease, error) {
	if wait <= 0 {
		return kv.store.Lock(ctx, full, owner, 0)
	}
	deadline := time.Now().Add(wait)
	entered, err := kv.turns.enter(ctx, full, wait)
	if err != nil {
		return nil, err
	}
	if !entered { // ask once, for the owner at least
		return kv.store.Lock(ctx, full, owner, 0)
	}
	defer kv.turns.leave(full)
	return kv.store.Lock(ctx, full, owner, time.Until(deadline))
}

// heldLock is what the Lock field of a pair has.
type heldLock struct {
	instance   *instance
	lease      driver.Lease
	key, owner string
	since      time.Time     // without the monotonic clock, to be printed
	done       chan struct{} // closed by the first Unlock
	unlocking  chan struct{} // has an element while an Unlock runs: one at a time
	released   atomic.Bool
}

var _ kvdb.HeldLock = (*heldLock)(nil)

func (h *heldLock) Token() uint64 { return h.lease.Token() }

func (h *heldLock) Lost() <-chan struct{} { return h.lease.Lost() }

// watch reports to the fatal callback that the lock is lost, or held for too
// long, until Unlock is called or the instance is closed.
func (h *heldLock) watch(holdLimit time.Duration) {
	var tooLong <-chan time.Time
	if holdLimit > 0 {
		timer := time.NewTimer(holdLimit)
		defer timer.Stop()
		tooLong = timer.C
	}
	for {
		select {
		case <-h.done:
			return
		case <-h.instance.lifetime.Done():
			return
		case <-h.lease.Lost():
			if h.given() {
				return
			}
			h.fatal(kvdb.ErrLockRefreshFailed, "Lock %s of %s, held since %v, is lost",
				h.key, h.owner, h.since)
			return
		case <-tooLong:
			if h.given() {
				return
			}
			h.fatal(kvdb.ErrLockHoldTimeoutTriggered, "Lock %s of %s, held since %v, is held beyond its limit of %v",
				h.key, h.owner, h.since, holdLimit)
		}
	}
}

// given tells whether Unlock was called: of several things that a select finds
// at once it takes any.
func (h *heldLock) given() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// fatal calls the fatal callback on a goroutine of its own: Close does not wait
// for it, so that the callback may call Close.
func (h *heldLock) fatal(err error, format string, args ...interface{}) {
	go h.instance.Fatal(err, format, args...)
}

func (h *heldLock) unlock(ctx context.Context) error {
	// Who has asked for this does not hold the lock any more, whatever comes of it.
	if !h.given() {
		close(h.done)
	}
	err := h.lease.Release(ctx)
	h.released.Store(err == nil)
	return err
}

// Unlock releases a lock that one of the Lock calls of this instance returned.
func (kv *Kvdb) Unlock(kvp *kvdb.KVPair) error {
	h := kv.held(kvp)
	if h == nil {
		return kvdb.ErrInvalidLock
	}
	if h.released.Load() {
		return nil
	}
	return kv.run(func(ctx context.Context) error {
		select {
		case h.unlocking <- struct{}{}:
			defer func() { <-h.unlocking }()
		case <-ctx.Done():
			return driver.NotReached(ctx, fmt.Errorf("an earlier Unlock of %q is not over", h.key))
		}
		if h.released.Load() {
			return nil
		}
		return h.unlock(ctx)
	})
}

// held returns the lock of this instance that kvp stands for, or nil.
func (i *instance) held(kvp *kvdb.KVPair) *heldLock {
	if kvp == nil {
		return nil
	}
	if h, ok := kvp.Lock.(*heldLock); ok && h.instance == i {
		return h
	}
	return nil
}

// IsKeyLocked tells whether key is locked, and by whom.
func (kv *Kvdb) IsKeyLocked(key string) (bool, string, error) {
	full, err := kv.key(key)
	if err != nil {
		return false, "", err
	}
	ctx, cancel, err := kv.begin()
	if err != nil {
		return false, "", err
	}
	defer cancel()
	owner, held, err := kv.store.LockOwner(ctx, full)
	return held, owner, err
}
