// Package locktable implements the locks of a store in this process.
package locktable

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Table has the locks of one store. Each instance that shares the store has a session.
type Table struct {
	mu    sync.Mutex // protects locks and their fields
	locks map[string]*lock
}

// lock is the lock on a key. It exists while the lock is held.
type lock struct {
	holder  *waiter
	waiters []*waiter // in the order in which they came
}

type waiter struct {
	owner   string
	granted chan struct{} // closed when the waiter becomes the holder
}

// New returns a table without locks.
func New() *Table { return &Table{locks: map[string]*lock{}} }

// Owner returns the owner of the lock on key, and false if the lock is not held.
func (t *Table) Owner(key string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.locks[key]; l != nil {
		return l.holder.owner, true
	}
	return "", false
}

// acquire makes w the holder of key, or waits until it is.
func (t *Table) acquire(ctx context.Context, key string, w *waiter, wait time.Duration) error {
	t.mu.Lock()
	l := t.locks[key]
	switch {
	case l == nil:
		t.locks[key] = &lock{holder: w}
		t.mu.Unlock()
		return nil
	case wait <= 0:
		defer t.mu.Unlock()
		return &driver.HeldError{Owner: l.holder.owner}
	}
	l.waiters = append(l.waiters, w)
	t.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	var err error
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
		err = driver.WithCause(ctx, nil)
	case <-timer.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(l.waiters, w); i >= 0 {
		l.waiters = slices.Delete(l.waiters, i, i+1)
	} else if err != nil { // granted meanwhile, but the context has ended
		t.pass(key)
	} else {
		return nil
	}
	if err != nil {
		return err
	}
	return &driver.HeldError{Owner: l.holder.owner}
}

// pass gives the lock on key to the first waiter. The caller holds t.mu.
func (t *Table) pass(key string) {
	l := t.locks[key]
	if len(l.waiters) == 0 {
		delete(t.locks, key)
		return
	}
	l.holder, l.waiters = l.waiters[0], l.waiters[1:]
	close(l.holder.granted)
}

// release releases the lock on key. The caller is the holder.
func (t *Table) release(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass(key)
}

// Session holds the locks of one instance.
type Session struct {
	table *Table
	token func(context.Context) (uint64, error)

	mu     sync.Mutex // protects the fields below; taken before the table's
	leases map[*lease]struct{}
	closed bool
}

// NewSession returns a session without locks. token returns a fencing token, larger than all
// before. Lock calls it when it has obtained a lock.
func (t *Table) NewSession(token func(context.Context) (uint64, error)) *Session {
	return &Session{table: t, token: token, leases: map[*lease]struct{}{}}
}

// Lock obtains a lock; see driver.Store.
func (s *Session) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	if ctx.Err() != nil {
		return nil, driver.WithCause(ctx, nil)
	}
	w := &waiter{owner: owner, granted: make(chan struct{})}
	if err := s.table.acquire(ctx, key, w, wait); err != nil {
		return nil, err
	}
	token, err := s.token(ctx)
	if err != nil {
		s.table.release(key)
		return nil, err
	}
	l := &lease{session: s, key: key, token: token, lost: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.table.release(key)
		return nil, kvdb.ErrClosed
	}
	s.leases[l] = struct{}{}
	return l, nil
}

// Close makes the leases of the session lost, and then releases its locks.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for l := range s.leases {
		if s.idle(context.Background(), l) != nil {
			continue // was released meanwhile
		}
		close(l.lost)
		delete(s.leases, l)
		s.table.release(l.key)
	}
}

// idle waits until no call of Held needs l. It returns an error if l is not held, or if ctx
// ends. The caller holds s.mu, which idle unlocks while it waits.
func (s *Session) idle(ctx context.Context, l *lease) error {
	for {
		if _, held := s.leases[l]; !held {
			return kvdb.ErrInvalidLock
		}
		if l.guards == 0 {
			return nil
		}
		unguarded := l.unguarded
		s.mu.Unlock()
		select {
		case <-unguarded:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if ctx.Err() != nil {
			return driver.WithCause(ctx, nil)
		}
	}
}

// lease implements driver.Lease.
type lease struct {
	session *Session
	key     string
	token   uint64
	lost    chan struct{}

	// The session's mu protects the fields below.
	guards    int           // the number of calls of Held that need the lock
	unguarded chan struct{} // closed when guards becomes 0
	releasing bool          // Release was called, so Held refuses the lock
	passed    bool          // the last call of Held released the lock in place of Release
}

func (l *lease) Token() uint64 { return l.token }

func (l *lease) Lost() <-chan struct{} { return l.lost }

// LossReason implements driver.LossReasoner. Only Close makes leases lost.
func (l *lease) LossReason() string { return kvdb.LockClosed }

func (l *lease) Release(ctx context.Context) error {
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	l.releasing = true
	err := l.session.idle(ctx, l)
	if l.passed {
		return nil
	}
	if err != nil {
		return err
	}
	l.release()
	return nil
}

// release releases the lock, which is held. The caller holds the session's mu.
func (l *lease) release() {
	delete(l.session.leases, l)
	l.session.table.release(l.key)
}

// Held calls f if all locks are held and none is being released; otherwise it returns
// kvdb.ErrInvalidLock. The locks are not released before f returns. Several calls can run at
// the same time, because f may wait for a disk.
func (s *Session) Held(locks []driver.Lease, f func() error) error {
	leases, err := s.guard(locks)
	if err != nil {
		return err
	}
	defer s.unguard(leases)
	return f()
}

func (s *Session) guard(locks []driver.Lease) ([]*lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	leases := make([]*lease, len(locks))
	for i, l := range locks {
		own, ok := l.(*lease)
		if _, held := s.leases[own]; !ok || !held || own.releasing || s.closed {
			return nil, kvdb.ErrInvalidLock
		}
		leases[i] = own
	}
	for _, l := range leases {
		if l.guards++; l.guards == 1 {
			l.unguarded = make(chan struct{})
		}
	}
	return leases, nil
}

func (s *Session) unguard(leases []*lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range leases {
		if l.guards--; l.guards > 0 {
			continue
		}
		close(l.unguarded)
		if _, held := s.leases[l]; held && l.releasing { // even if Release no longer waits
			l.passed = true
			l.release()
		}
	}
}
