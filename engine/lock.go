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
	"github.com/portworx/kvdb/internal/fatalcb"
)

const defaultLockerID = "locked"

// Lock locks key for the locker ID "locked".
func (kv *view) Lock(key string) (*kvdb.KVPair, error) {
	return kv.LockWithID(key, defaultLockerID)
}

// LockWithID locks key for lockerID.
func (kv *view) LockWithID(key, lockerID string) (*kvdb.KVPair, error) {
	return kv.LockWithTimeout(key, lockerID, kv.GetLockTryDuration(), kv.GetLockHoldDuration())
}

// LockWithTimeout locks key for lockerID.
func (kv *view) LockWithTimeout(key, lockerID string, lockTryDuration, lockHoldDuration time.Duration) (_ *kvdb.KVPair, err error) {
	kv, op := kv.start("lock", key)
	if op != nil {
		defer op.end(&err)
	}
	full, err := kv.key(key)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := kv.beginUnbounded()
	if err != nil {
		return nil, err
	}
	defer cancel()
	observer := kv.observeLock(key, lockerID)
	lease, err := kv.obtain(ctx, full, lockerID, lockTryDuration)
	if err != nil {
		err = notObtained(err, key, lockTryDuration)
		observer.notObtained(err)
		return nil, err
	}
	token := lease.Token()
	observer.obtained(token)
	h := &heldLock{
		instance: kv.instance, lease: lease, observer: observer, key: key, owner: lockerID,
		since: time.Now().Round(0), done: make(chan struct{}), unlocking: make(chan struct{}, 1),
		quiet: !fatalcb.Wanted(ctx),
	}
	if !kv.launch(func() { h.watch(lockHoldDuration) }) {
		observer.lost(kvdb.LockClosed)
		return nil, kvdb.ErrClosed // the store's Close releases the lease
	}
	return &kvdb.KVPair{
		Key: kv.relative(full), Value: []byte(lockerID), Action: kvdb.KVCreate,
		KVDBIndex: token, CreatedIndex: token, ModifiedIndex: token, Lock: h,
	}, nil
}

// notObtained returns the error of a call that did not obtain a lock because of err.
func notObtained(err error, key string, wait time.Duration) error {
	held := (*driver.HeldError)(nil)
	if !errors.As(err, &held) {
		return err
	}
	by := strconv.Quote(held.Owner)
	if held.Owner == "" {
		by = "an owner whose ID is empty or was not found out"
	}
	return fmt.Errorf("%w: lock %q is held by %s, not obtained within %v", kvdb.ErrExist, key, by, wait)
}

// obtain gets the lock from the store when it is the caller's turn in the queue.
func (kv *view) obtain(ctx context.Context, full, owner string, wait time.Duration) (driver.Lease, error) {
	if wait <= 0 {
		return kv.store.Lock(ctx, full, owner, 0)
	}
	deadline := time.Now().Add(wait)
	entered, err := kv.lockQueue.enter(ctx, full, wait)
	if err != nil {
		return nil, err
	}
	if !entered { // ask once, at least for the owner
		return kv.store.Lock(ctx, full, owner, 0)
	}
	defer kv.lockQueue.leave(full)
	return kv.store.Lock(ctx, full, owner, time.Until(deadline))
}

// heldLock is the Lock field of a pair.
type heldLock struct {
	instance   *instance
	lease      driver.Lease
	observer   *lockObserver
	key, owner string
	since      time.Time     // without the monotonic clock, because it is printed
	unlocking  chan struct{} // a semaphore: one Unlock runs at a time
	released   atomic.Bool
	lostOnce   sync.Once // calls the fatal callback when the lock is lost
	quiet      bool      // the fatal callback is never called

	mu   sync.Mutex    // makes reportHeldTooLong, leaveToClose and Unlock exclude each other
	done chan struct{} // closed by the first Unlock, with mu held
}

var _ kvdb.HeldLock = (*heldLock)(nil)

func (h *heldLock) Token() uint64 { return h.lease.Token() }

func (h *heldLock) Lost() <-chan struct{} { return h.lease.Lost() }

// watch calls the fatal callback when the lock is lost, or held for too long, until
// Unlock is called or the instance is closed.
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
			h.leaveToClose()
			return
		case <-h.lease.Lost():
			if !isClosed(h.done) {
				h.reportLost()
			}
			return
		case <-tooLong:
			h.reportHeldTooLong(holdLimit)
		}
	}
}

// isClosed reports whether c is closed. A select with several ready cases takes any of
// them, so each case has to check for those that are more important.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// leaveToClose ends the watch of a lock that Close of the store is about to release.
func (h *heldLock) leaveToClose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case isClosed(h.done):
	case isClosed(h.lease.Lost()):
		h.reportLost()
	default:
		h.observer.lost(kvdb.LockClosed)
	}
}

// reportLost tells hooks and calls the fatal callback because the lock is lost, once.
func (h *heldLock) reportLost() {
	h.lostOnce.Do(func() {
		h.observer.lost(lossReason(h.lease))
		h.fatal(kvdb.ErrLockRefreshFailed, "Lock %s of %s, held since %v, is lost", h.key, h.owner, h.since)
	})
}

// reportHeldTooLong calls the fatal callback if the lock is still held.
func (h *heldLock) reportHeldTooLong(limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if isClosed(h.done) || isClosed(h.lease.Lost()) || isClosed(h.instance.lifetime.Done()) {
		return
	}
	h.observer.heldTooLong()
	h.fatal(kvdb.ErrLockHoldTimeoutTriggered, "Lock %s of %s, held since %v, is held beyond its limit of %v",
		h.key, h.owner, h.since, limit)
}

// fatal calls the fatal callback on a goroutine of its own, which has started when fatal
// returns. So no call starts after Close or Unlock. They do not wait for its end,
// because the callback may call them.
func (h *heldLock) fatal(err error, format string, args ...interface{}) {
	if h.quiet {
		return
	}
	running := make(chan struct{})
	go func() {
		close(running)
		h.instance.Fatal(err, format, args...)
	}()
	<-running
}

// giveUp records that Unlock was called: from now on the caller does not hold the lock,
// even if Unlock fails. A loss before that is reported, because the caller may have
// seen it.
func (h *heldLock) giveUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if isClosed(h.done) {
		return
	}
	if isClosed(h.lease.Lost()) {
		h.reportLost()
	}
	close(h.done)
}

func (h *heldLock) unlock(ctx context.Context) error {
	h.giveUp()
	until := time.Now()
	err := h.lease.Release(ctx)
	h.released.Store(err == nil)
	if errors.Is(err, kvdb.ErrInvalidLock) { // it was lost before, and only the store knew
		h.observer.lost(lossReason(h.lease))
	}
	h.observer.released(until, err)
	return err
}

// Unlock releases a lock that one of the Lock calls of this instance returned.
func (kv *view) Unlock(kvp *kvdb.KVPair) (err error) {
	kv, op := kv.start("unlock", keyOf(kvp))
	if op != nil {
		defer op.end(&err)
	}
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
			return driver.NotReached(ctx, fmt.Errorf("an earlier Unlock of %q is still running", h.key))
		}
		if h.released.Load() {
			return nil
		}
		return h.unlock(ctx)
	})
}

// held returns the lock of this instance whose pair kvp is, or nil.
func (i *instance) held(kvp *kvdb.KVPair) *heldLock {
	if kvp == nil {
		return nil
	}
	if h, ok := kvp.Lock.(*heldLock); ok && h.instance == i {
		return h
	}
	return nil
}

// IsKeyLocked reports whether key is locked, and returns the ID of the holder.
func (kv *view) IsKeyLocked(key string) (_ bool, _ string, err error) {
	kv, op := kv.start("is_key_locked", key)
	if op != nil {
		defer op.end(&err)
	}
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
