// Package held implements the locks that an instance holds. A lock is lost before another
// instance can obtain it. It is released once: in the background if the store cannot be
// reached, and at Close if it is still held. A store adds the requests that keep a lock
// alive and that remove it.
package held

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Remove sends the request that removes a lock from the store, and nothing else. It reports
// whether the lock was there. If the error wraps kvdb.ErrUnknownOutcome, the request may
// have run; with any other error it did not.
type Remove func(ctx context.Context) (removed bool, err error)

// Lock is a lock that is held, until it is lost or released. It implements driver.Lease.
type Lock struct {
	locks  *Locks
	key    string
	token  uint64
	remove Remove
	expiry *Expiry // of this lock; it does not run if the lock is kept alive together with others
	lost   chan struct{}
	// ctx ends when the lock need no longer be kept alive.
	ctx context.Context
	end context.CancelFunc
	// removing has an element while a request to remove the lock runs. It protects
	// uncertain, which means that an earlier request may have removed the lock.
	removing  chan struct{}
	uncertain bool
	later     sync.Once // starts to remove the lock in the background

	mu        sync.Mutex // protects the fields below
	state     state
	reason    string // why the lock is lost, or ""
	releasing bool   // Release was called
}

type state int

const (
	held state = iota
	lost
	released
)

// Key returns the key that Add was given.
func (l *Lock) Key() string { return l.key }

// Token implements driver.Lease.
func (l *Lock) Token() uint64 { return l.token }

// Lost implements driver.Lease.
func (l *Lock) Lost() <-chan struct{} { return l.lost }

// LossReason implements driver.LossReasoner.
func (l *Lock) LossReason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason
}

// IsLost reports whether the lock is lost.
func (l *Lock) IsLost() bool { return l.now() == lost }

// Context returns a context that ends when the lock is lost or Release is called, so that
// it need no longer be kept alive or watched.
func (l *Lock) Context() context.Context { return l.ctx }

// Renewed records that a request that obtained this lock, or keeps only this lock alive,
// was answered. sent is the time at which it was sent.
func (l *Lock) Renewed(sent time.Time) { l.expiry.Renewed(sent) }

// Lose marks the lock as lost, unless it is released, because its lease has ended or may
// have ended.
func (l *Lock) Lose() { l.lose(kvdb.LockExpired) }

func (l *Lock) lose(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaveLocked(lost, reason)
}

// Gone records that the lock is no longer in the store. The lock is then lost, unless
// Release was called, because Release may have removed it.
func (l *Lock) Gone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.releasing {
		l.leaveLocked(lost, kvdb.LockRemoved)
	}
}

// leaveLocked ends the state held. reason is why the lock is lost, or "". The caller holds mu.
func (l *Lock) leaveLocked(s state, reason string) {
	if l.state != held {
		return
	}
	l.state, l.reason = s, reason
	l.end()
	l.expiry.Stop()
	if s == lost {
		close(l.lost)
	}
	l.locks.forget(l)
}

func (l *Lock) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaveLocked(released, "")
}

// now returns the state.
func (l *Lock) now() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Release implements driver.Lease. The lock may be lost until the store has answered that
// it was removed. If the store cannot be reached, the lock is removed in the background,
// because others wait for it and its holder may not call Release again.
func (l *Lock) Release(ctx context.Context) error {
	l.mu.Lock()
	l.releasing = true
	l.end()
	l.mu.Unlock()
	if l.now() == held {
		if err := l.tryRemove(ctx); err != nil {
			l.later.Do(func() { l.locks.background(l.key, strayTime, l.removeIfHeld) })
			return err
		}
	}
	if l.now() == lost {
		return kvdb.ErrInvalidLock
	}
	return nil
}

// removeIfHeld is like tryRemove, but does nothing if the lock is lost, because it will
// expire.
func (l *Lock) removeIfHeld(ctx context.Context) error {
	if l.now() == lost {
		return nil
	}
	return l.tryRemove(ctx)
}

// tryRemove removes the lock from the store, unless that was done. The error is nil if the
// lock is no longer there.
func (l *Lock) tryRemove(ctx context.Context) error {
	select {
	case l.removing <- struct{}{}:
		defer func() { <-l.removing }()
	case <-ctx.Done():
		return driver.NotReached(ctx, errors.New("an earlier request to release the lock is not answered"))
	}
	if l.now() == released {
		return nil
	}
	removed, err := l.remove(ctx)
	switch {
	case err != nil:
		l.uncertain = l.uncertain || errors.Is(err, kvdb.ErrUnknownOutcome)
		return err
	case removed || l.uncertain:
		l.release()
	default: // another client has removed it
		l.lose(kvdb.LockRemoved)
	}
	return nil
}
