package consul

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/held"
)

// watchLockAfter is how long a lock is held before its key is watched: one that is
// released sooner costs no watch.
const watchLockAfter = 200 * time.Millisecond

// lease implements driver.Lease.
type lease struct {
	*held.Lock
	store   *store
	session *session
	created uint64 // CreateIndex of the key, which lives as long as the lease

	// modified is the key's ModifyIndex; it differs from the token when another program
	// writes to the key.
	modified atomic.Uint64

	uncertain bool // an earlier call of remove may have removed the key; protected by held.Lock
}

// newLease returns the lease of a key that was locked with the session, unless that is
// over, or removes the key.
func (s *store) newLease(session *session, locked *api.KVPair) (*lease, error) {
	l := &lease{store: s, session: session, created: locked.CreateIndex}
	l.modified.Store(locked.ModifyIndex)
	if err := session.add(l, locked); err != nil {
		return nil, err
	}
	s.life.Go(l.watch)
	return l, nil
}

// ours reports whether p is the key as this lease has it.
func (l *lease) ours(p *api.KVPair) bool {
	return p != nil && p.Session == l.session.id && p.CreateIndex == l.created
}

// watch waits until the key is taken away. The end of the session is noticed where it is
// renewed.
func (l *lease) watch() {
	ctx := l.Context()
	timer := time.NewTimer(watchLockAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return
	}
	h := l.store.history.Load()
	h.note(l, []fact{{l.Key(), indexes{l.created, l.Token()}, l.Token()}})
	defer h.note(l, nil)
	backoff := conn.NewBackoff()
	for modified := l.Token(); ; {
		now, _, err := l.store.blockingGet(ctx, l.Key(), modified)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			modified = 0
			// Without a limit, because the session ends in time.
			_ = backoff.Wait(ctx)
			_ = l.store.conn.Recover(ctx, conn.MaxWait)
		case !l.ours(now):
			l.Gone()
			return
		default:
			if modified > 0 { // else Consul may still refuse to wait for a change
				backoff.Reset()
			}
			modified = now.ModifyIndex
		}
	}
}

// remove implements held.Remove.
func (l *lease) remove(ctx context.Context) (bool, error) {
	backoff := conn.NewBackoff()
	for {
		_, err := l.store.conn.Txn(ctx, conn.Once, opsDelete(l.Key(), l.modified.Load()))
		if err == nil {
			return true, nil
		}
		if errors.Is(err, kvdb.ErrUnknownOutcome) {
			l.uncertain = true
			if backoff.Wait(ctx) != nil {
				return false, driver.NotReached(ctx, err)
			}
			continue
		}
		if !conn.IsConflict(err) {
			return false, err
		}
		now, err := l.store.look(ctx, l.Key())
		if err != nil {
			return false, err
		}
		if !l.ours(now) {
			return l.uncertain, nil
		}
		l.modified.Store(now.ModifyIndex)
	}
}

// learn notes that another program has written to the key, which does not take the
// lock. When it is not held any more the error is kvdb.ErrInvalidLock.
func (l *lease) learn(ctx context.Context) error {
	now, err := l.store.look(ctx, l.Key())
	if err != nil {
		return err
	}
	if !l.ours(now) || l.IsLost() {
		return kvdb.ErrInvalidLock
	}
	l.modified.Store(now.ModifyIndex)
	return nil
}

// releaseStray makes sure that a request for the lock of key, whose outcome is not known,
// leaves no lock behind. No other call uses the session afterwards, and until it ends the
// key is removed when it has it.
func (s *session) releaseStray(key string) {
	s.keeper.mu.Lock()
	s.strays[key] = true
	s.keeper.mu.Unlock()
	s.retire()
	s.keeper.store.life.Go(func() { s.removeStrays(key) })
}

// removeStrays removes the key whenever the session has it, until that ends.
func (s *session) removeStrays(key string) {
	store := s.keeper.store
	backoff := conn.NewBackoff()
	for index := uint64(0); s.ctx.Err() == nil; {
		now, next, err := store.blockingGet(s.ctx, key, index)
		switch {
		case err != nil:
			_ = store.conn.Recover(s.ctx, conn.MaxWait)
			next = 0
		case now != nil && now.Session == s.id && !s.holds(now):
			_, _ = store.conn.Txn(s.ctx, conn.Repeatable, opsDelete(key, now.ModifyIndex)) // if it fails, once more
			next = 0
		}
		index = next
		// The index of a key that does not exist moves with any write.
		_ = backoff.Wait(s.ctx)
	}
}

// holds reports whether a key that the session has is that of a lease, and has not been
// removed and created again since.
func (s *session) holds(p *api.KVPair) bool {
	l := s.locks.At(p.Key)
	return l != nil && p.CreateIndex <= l.Token()
}
