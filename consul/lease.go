package consul

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

// guardDelay is how long a lock is held before its key is watched: one that is
// given up sooner costs no watch.
const guardDelay = 200 * time.Millisecond

// lease implements driver.Lease.
type lease struct {
	store   *store
	session *session
	key     string
	token   uint64
	created uint64        // CreateIndex of the key, which lives as long as the lease
	lost    chan struct{} // closed when the lease is lost
	given   chan struct{} // closed when Release gets to work

	// modified is the key's ModifyIndex; it differs from token when another program
	// writes to the key.
	modified atomic.Uint64

	giving sync.Once     // closes given
	turn   chan struct{} // has an element while somebody has the turn to release the key
	// Protected by the turn:
	released bool
	unsure   bool // a request to remove the key may have done so

	// Protected by the keeper's mu.
	gone bool // lost is closed
}

func (l *lease) Token() uint64 { return l.token }

func (l *lease) Lost() <-chan struct{} { return l.lost }

// loseLocked says that the lease is lost. The caller holds the keeper's mu.
func (l *lease) loseLocked() {
	if !l.gone {
		l.gone = true
		close(l.lost)
	}
}

func (l *lease) lose() {
	l.session.keeper.mu.Lock()
	l.loseLocked()
	l.session.keeper.mu.Unlock()
	l.session.remove(l)
}

func (l *lease) isLost() bool {
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}

// ours reports whether p is the key as this lease has it.
func (l *lease) ours(p *api.KVPair) bool {
	return p != nil && p.Session == l.session.id && p.CreateIndex == l.created
}

// guard notices when the key is taken away. That the session ends is noticed by
// who renews it.
func (l *lease) guard() {
	timer := time.NewTimer(guardDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.given:
		return
	case <-l.lost:
		return
	}
	ctx, cancel := until(l.store.lifetime, l.given, l.lost)
	defer cancel()
	h := l.store.history.Load()
	h.note(l, []fact{{l.key, indexes{l.created, l.token}, l.token}})
	defer h.note(l, nil)
	backoff := conn.NewBackoff()
	for modified := l.token; ; {
		now, _, err := l.store.blockingGet(ctx, l.key, modified)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			modified = 0
			// For as long as it takes: the session ends in time.
			_ = backoff.Wait(ctx)
			_ = l.store.conn.Recover(ctx, conn.MaxWait)
		case !l.ours(now):
			l.lose()
			return
		default:
			if modified > 0 { // else Consul may refuse still to wait for news
				backoff.Reset()
			}
			modified = now.ModifyIndex
		}
	}
}

// until returns a context that ends with parent, or when one or the other is
// closed.
func until(parent context.Context, one, other <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	go func() {
		select {
		case <-one:
		case <-other:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}

// begin takes the turn, which end gives back. Who has it may wait for an answer.
func (l *lease) begin(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-l.lost:
		return kvdb.ErrInvalidLock
	case <-ctx.Done():
		return driver.NotReached(ctx, driver.ErrTimeLimit)
	}
}

func (l *lease) end() { <-l.turn }

// Release implements driver.Lease.
func (l *lease) Release(ctx context.Context) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.end()
	if l.isLost() {
		return kvdb.ErrInvalidLock
	}
	l.giving.Do(func() { close(l.given) })
	err := l.releaseLocked(ctx)
	if err != nil && !errors.Is(err, kvdb.ErrInvalidLock) {
		l.store.background(l.releaseLater)
	}
	return err
}

// releaseLater goes on with a Release that has failed: who waits for the lock
// must get it though its holder does not call again.
func (l *lease) releaseLater(ctx context.Context) {
	for backoff := conn.NewBackoff(); backoff.Wait(ctx) == nil && !l.isLost(); {
		if l.begin(ctx) != nil {
			return
		}
		err := l.releaseLocked(ctx)
		l.end()
		if err == nil || errors.Is(err, kvdb.ErrInvalidLock) {
			return
		}
	}
}

// releaseLocked removes the key. A second time it does nothing: another holder's
// key has another index. The caller has the turn.
func (l *lease) releaseLocked(ctx context.Context) error {
	backoff := conn.NewBackoff()
	for !l.released {
		_, err := l.store.conn.Txn(ctx, conn.Once, opsDelete(l.key, l.modified.Load()))
		if err == nil {
			break
		}
		if errors.Is(err, kvdb.ErrUnknownOutcome) {
			l.unsure = true
			if backoff.Wait(ctx) != nil {
				return driver.NotReached(ctx, err)
			}
			continue
		}
		if !conn.IsConflict(err) {
			return err
		}
		now, err := l.store.look(ctx, l.key)
		if err != nil {
			return err
		}
		if !l.ours(now) {
			if l.unsure {
				break // an earlier request did it
			}
			l.lose()
			return kvdb.ErrInvalidLock
		}
		l.modified.Store(now.ModifyIndex)
	}
	l.released = true
	l.session.remove(l)
	return nil
}

// learn notes that another program has written to the key, which does not take the
// lock. When it is not held any more the error is kvdb.ErrInvalidLock.
func (l *lease) learn(ctx context.Context) error {
	now, err := l.store.look(ctx, l.key)
	if err != nil {
		return err
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.end()
	if l.released || l.isLost() || !l.ours(now) {
		return kvdb.ErrInvalidLock
	}
	l.modified.Store(now.ModifyIndex)
	return nil
}

// disown makes sure that a request for the lock of key, whose outcome is not
// known, leaves no lock behind: the session is used no more, and what it gets
// yet is removed until it ends.
func (s *session) disown(key string) {
	s.keeper.mu.Lock()
	s.swept[key] = true
	s.keeper.mu.Unlock()
	s.retire()
	s.keeper.store.launch(func() {
		ctx, cancel := until(s.keeper.store.lifetime, s.ended, nil)
		defer cancel()
		s.sweep(ctx, key)
	})
}

// sweep removes the key whenever the session has it, until ctx ends.
func (s *session) sweep(ctx context.Context, key string) {
	store := s.keeper.store
	backoff := conn.NewBackoff()
	for index := uint64(0); ctx.Err() == nil; {
		now, next, err := store.blockingGet(ctx, key, index)
		switch {
		case err != nil:
			_ = store.conn.Recover(ctx, conn.MaxWait)
			next = 0
		case now != nil && now.Session == s.id && !s.has(key, now.CreateIndex):
			_, _ = store.conn.Txn(ctx, conn.Repeatable, opsDelete(key, now.ModifyIndex)) // if it fails, once more
			next = 0
		}
		index = next
		// The index of a key that is not there moves with any write.
		_ = backoff.Wait(ctx)
	}
}

// has reports whether the session has a lease of the key.
func (s *session) has(key string, created uint64) bool {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	for l := range s.leases {
		if l.key == key && l.created == created {
			return true
		}
	}
	return false
}
