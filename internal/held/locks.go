package held

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/life"
)

// strayTime is the time for which a request whose caller has given up may still be in
// flight.
const strayTime = 100 * time.Millisecond

// Locks are the locks that an instance holds, or those of one of its sessions.
type Locks struct {
	life  *life.Group
	times Times
	// Empty, if it is not nil, is called when no lock is held any longer. It must neither
	// wait nor use the Locks.
	Empty func()

	mu         sync.Mutex       // protects the fields below
	held       map[string]*Lock // by their keys
	unreleased []string         // keys of the locks that could not be released before the end of Close
}

// NewLocks returns an empty set of locks, for an instance whose goroutines are in g. t are the
// times of the lease of each lock.
func NewLocks(g *life.Group, t Times) *Locks {
	return &Locks{life: g, times: t, held: map[string]*Lock{}}
}

// Add adds a lock that was obtained. It calls Gone on an earlier lock with the same key.
func (s *Locks) Add(key string, token uint64, remove Remove) *Lock {
	l := &Lock{
		locks: s, key: key, token: token, remove: remove,
		lost: make(chan struct{}), removing: make(chan struct{}, 1),
	}
	l.expiry = NewExpiry(s.times, l.Lose)
	l.ctx, l.end = context.WithCancel(s.life.Context())
	s.mu.Lock()
	earlier := s.held[key]
	s.held[key] = l
	s.mu.Unlock()
	if earlier != nil {
		earlier.Gone()
	}
	return l
}

// forget removes l from the locks that are held.
func (s *Locks) forget(l *Lock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[l.key] == l {
		delete(s.held, l.key)
	}
	if len(s.held) == 0 && s.Empty != nil {
		s.Empty()
	}
}

// Keys returns the keys of the locks in order.
func (s *Locks) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.held))
}

// all returns the locks.
func (s *Locks) all() []*Lock {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.held))
}

// At returns the lock with a key, or nil.
func (s *Locks) At(key string) *Lock {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[key]
}

// Lose marks all locks as lost.
func (s *Locks) Lose() {
	for _, l := range s.all() {
		l.Lose()
	}
}

// ReleaseStray removes the lock that a request may have left in the store although its
// caller did not wait for the outcome. It does so in the background, until the lock must
// have expired.
func (s *Locks) ReleaseStray(key string, remove Remove) {
	expiry := time.Now().Add(s.times.TTL)
	s.background(key, strayTime, func(ctx context.Context) error {
		if !time.Now().Before(expiry) {
			return nil
		}
		_, err := remove(ctx)
		return err
	})
}

// background runs remove after delay, and again while it fails; see life.Group.Retry. If it
// does not succeed before the end of Close, the error of Close names the lock.
func (s *Locks) background(key string, delay time.Duration, remove func(context.Context) error) {
	s.life.Go(func() {
		err := s.life.Retry(delay, remove)
		if err != nil && s.life.Late().Err() != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.unreleased = append(s.unreleased, key)
		}
	})
}

// Close marks all locks as lost and then releases them, until ctx ends, and closes the
// group of goroutines. The error names the locks that are not released.
func (s *Locks) Close(ctx context.Context) error {
	s.life.Drain()
	for _, l := range s.all() {
		l.lose(kvdb.LockClosed)
		s.background(l.key, 0, l.tryRemove)
	}
	s.life.Close(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unreleased) == 0 {
		return nil
	}
	slices.Sort(s.unreleased)
	return fmt.Errorf("%w: not released, so held for up to %v: the locks %q", kvdb.ErrNoConnection, s.times.TTL, slices.Compact(s.unreleased))
}
