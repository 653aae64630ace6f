// Package held has the locks that an instance holds: they are lost before anybody else
// can have them, released once, released later when the store could not be reached, and
// lost and released at Close. A store adds the requests that keep a lock alive and that
// remove it.
package held

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Remove is the request that removes a lock from the store, whatever has become of it,
// and nothing else. It reports whether the lock was there. It may have run if the error
// wraps kvdb.ErrUnknownOutcome, and has not with any other error.
type Remove func(ctx context.Context) (removed bool, err error)

// Lock is a lock that is held, until it is lost or released. It implements driver.Lease.
type Lock struct {
	locks  *Locks
	key    string
	token  uint64
	remove Remove
	expiry *Expiry // of its own; it never runs if the lock is kept alive with others
	lost   chan struct{}
	// ctx ends when the lock need not be kept alive any more.
	ctx context.Context
	end context.CancelFunc
	// removing has an element while a request to remove the lock runs, which protects
	// uncertain: an earlier one may have removed it.
	removing  chan struct{}
	uncertain bool
	later     sync.Once // starts to remove the lock in the background

	mu        sync.Mutex // protects what is below
	state     state
	releasing bool // Release was called
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

// IsLost reports whether the lock is lost.
func (l *Lock) IsLost() bool { return l.now() == lost }

// Context returns a context that ends when the lock is lost or Release is called: it is
// neither to be kept alive nor watched any more.
func (l *Lock) Context() context.Context { return l.ctx }

// Renewed notes that a request was answered that keeps this lock alone alive, or has
// obtained it, and when it was sent.
func (l *Lock) Renewed(sent time.Time) { l.expiry.Renewed(sent) }

// Lose makes the lock lost, unless it is released: its lease has ended, or may have.
func (l *Lock) Lose() { l.leave(lost) }

// Gone notes that the lock is not in the store any more. It is lost then, unless
// Release was called, which may have removed it.
func (l *Lock) Gone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.releasing {
		l.leaveLocked(lost)
	}
}

// leave ends the state held.
func (l *Lock) leave(s state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaveLocked(s)
}

func (l *Lock) leaveLocked(s state) {
	if l.state != held {
		return
	}
	l.state = s
	l.end()
	l.expiry.Stop()
	if s == lost {
		close(l.lost)
	}
	l.locks.forget(l)
}

// now returns the state.
func (l *Lock) now() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Release implements driver.Lease. The lock may be lost until the store has answered
// that it was removed. When the store cannot be reached it is removed in the background,
// because others wait for it though its holder may not call Release again.
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

// removeIfHeld is tryRemove unless the lock is lost, which will expire.
func (l *Lock) removeIfHeld(ctx context.Context) error {
	if l.now() == lost {
		return nil
	}
	return l.tryRemove(ctx)
}

// tryRemove removes the lock from the store, unless that was done. The error is nil when
// it is not there any more.
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
		l.leave(released)
	default: // somebody else did it
		l.leave(lost)
	}
	return nil
}
