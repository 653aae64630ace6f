package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
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
		by := strconv.Quote(held.Owner)
		if held.Owner == "" {
			by = "an owner whose ID is empty or was not found out"
		}
		return nil, fmt.Errorf("%w: lock %q is held by %s, not obtained within %v", kvdb.ErrExist, key, by, lockTryDuration)
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
	unlocking  chan struct{} // has an element while an Unlock runs: one at a time
	released   atomic.Bool
	toldLost   sync.Once

	mu   sync.Mutex    // orders the report of the hold limit against Unlock
	done chan struct{} // closed by the first Unlock, with mu held
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
			if isClosed(h.lease.Lost()) && !isClosed(h.done) {
				h.tellLost()
			}
			return
		case <-h.lease.Lost():
			if !isClosed(h.done) {
				h.tellLost()
			}
			return
		case <-tooLong:
			h.tellTooLong(holdLimit)
		}
	}
}

// isClosed reports whether c is closed. Of several events that a select finds at
// once it takes any, so each has to look for those that outdo it.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// tellLost reports that the lock is lost, once.
func (h *heldLock) tellLost() {
	h.toldLost.Do(func() {
		h.fatal(kvdb.ErrLockRefreshFailed, "Lock %s of %s, held since %v, is lost", h.key, h.owner, h.since)
	})
}

// tellTooLong reports that the lock is held beyond its limit, if it is.
func (h *heldLock) tellTooLong(limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if isClosed(h.done) || isClosed(h.lease.Lost()) || isClosed(h.instance.lifetime.Done()) {
		return
	}
	h.fatal(kvdb.ErrLockHoldTimeoutTriggered, "Lock %s of %s, held since %v, is held beyond its limit of %v",
		h.key, h.owner, h.since, limit)
}

// fatal calls the fatal callback on a goroutine of its own, which runs when it
// returns. Close and Unlock wait for its start, so that no call begins after
// them, and not for its end, because the callback may call them.
func (h *heldLock) fatal(err error, format string, args ...interface{}) {
	running := make(chan struct{})
	go func() {
		close(running)
		h.instance.Fatal(err, format, args...)
	}()
	<-running
}

// giveUp notes that Unlock was called: the lock is not the caller's any more,
// whatever comes of it. A loss that he may have seen before is reported.
func (h *heldLock) giveUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if isClosed(h.done) {
		return
	}
	if isClosed(h.lease.Lost()) {
		h.tellLost()
	}
	close(h.done)
}

func (h *heldLock) unlock(ctx context.Context) error {
	h.giveUp()
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

// IsKeyLocked reports whether key is locked, and by whom.
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
