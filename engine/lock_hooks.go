package engine

import (
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// lockObserver tells hooks about one lock. Its methods do nothing on a nil lockObserver.
type lockObserver struct {
	hooks *driver.Hooks
	// began are the hooks when the wait for the lock began. Only they are told about it.
	began []kvdb.HookLock
	info  kvdb.LockInfo
	since time.Time // when the wait began, or when the lock was obtained
	over  sync.Once // tells that the lock is lost or released
}

// observeLock tells that an operation begins to wait for a lock. It returns nil without hooks.
func (kv *view) observeLock(key, id string) *lockObserver {
	began := kv.hooks.Kinds().Lock
	if len(began) == 0 {
		return nil
	}
	o := &lockObserver{hooks: kv.hooks, began: began, since: time.Now()}
	o.info = kvdb.LockInfo{Backend: kv.name, Domain: kv.given, Key: key, ID: id}
	o.tell(func(h kvdb.HookLock) { h.OnLockWaiting(o.info) })
	return o
}

// tell calls f with each hook that was not removed.
func (o *lockObserver) tell(f func(kvdb.HookLock)) {
	for _, h := range driver.Remaining(o.began, o.hooks.Kinds().Lock) {
		f(h)
	}
}

// obtained tells that the wait has ended with the lock.
func (o *lockObserver) obtained(token uint64) {
	if o == nil {
		return
	}
	waited := time.Since(o.since)
	o.info.Token, o.since = token, o.since.Add(waited)
	o.tell(func(h kvdb.HookLock) { h.OnLockObtained(o.info, waited) })
}

// notObtained tells that the wait has ended with err.
func (o *lockObserver) notObtained(err error) {
	if o == nil {
		return
	}
	waited := time.Since(o.since)
	o.tell(func(h kvdb.HookLock) { h.OnLockNotObtained(o.info, waited, err) })
}

func (o *lockObserver) heldTooLong() {
	if o == nil {
		return
	}
	held := time.Since(o.since)
	o.tell(func(h kvdb.HookLock) { h.OnLockHeldTooLong(o.info, held) })
}

// lost tells that the lock is lost, unless its end was told.
func (o *lockObserver) lost(reason string) {
	if o == nil {
		return
	}
	o.over.Do(func() {
		held := time.Since(o.since)
		o.tell(func(h kvdb.HookLock) { h.OnLockLost(o.info, held, reason) })
	})
}

// released tells that Unlock has ended the holding at the time until, with err, unless the
// end was told.
func (o *lockObserver) released(until time.Time, err error) {
	if o == nil {
		return
	}
	o.over.Do(func() {
		held := until.Sub(o.since)
		o.tell(func(h kvdb.HookLock) { h.OnLockReleased(o.info, held, err) })
	})
}

// lossReason returns why a lease is lost.
func lossReason(l driver.Lease) string {
	if r, ok := l.(driver.LossReasoner); ok {
		return r.LossReason()
	}
	return kvdb.LockLostUnknown
}
