package consul

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/held"
	"github.com/portworx/kvdb/internal/option"
)

const (
	// renewInterval leaves time to find another endpoint or leader.
	renewInterval = 2 * time.Second
	// idleTime is how long an unused session is kept.
	idleTime = 30 * time.Second
)

// lockTTLs are twice the TTLs of sessions that Consul accepts.
var lockTTLs = option.LockTTLs{Least: 20, Most: 2 * 24 * 60 * 60, Otherwise: 22}

// keptTimes are the times of a session that is kept alive, without the option kvdb.LockTTLKey.
// Consul promises not to end it before its TTL, and ends it after twice that time: a lock is
// free 22 s after its holder died, or a moment later.
var keptTimes = held.Times{TTL: 11 * time.Second, Margin: 500 * time.Millisecond, Every: renewInterval}

// keeper keeps a session of an instance alive as long as it is used.
type keeper struct {
	store *store
	name  string        // of its sessions
	idle  time.Duration // idleTime
	times held.Times    // of its sessions

	making chan struct{} // has an element while a session is made

	mu      sync.Mutex // protects what is below and the sessions' leases
	current *session   // nil: none that can be used
	closed  bool
	kept    map[*session]struct{} // current, and those that still have leases
}

func newKeeper(s *store, name string, t held.Times) *keeper {
	return &keeper{store: s, name: name, idle: idleTime, times: t, making: make(chan struct{}, 1), kept: map[*session]struct{}{}}
}

// session is a session of Consul that is kept alive.
type session struct {
	keeper *keeper
	id     string
	locks  *held.Locks
	// ctx ends when the session is lost or given up.
	ctx  context.Context
	end  context.CancelFunc
	wake chan struct{} // has an element when the session may no longer be used

	// Protected by keeper.mu.
	used   time.Time       // when it was handed out last
	strays map[string]bool // keys that it must not get any more, see releaseStray
	over   bool            // finish was called
	keys   []string        // that it may have had in Consul when finish was called

	destroyed atomic.Bool // Consul has ended the session
}

// session returns the session, and creates it if there is none.
func (k *keeper) session(ctx context.Context) (*session, error) {
	if s, err := k.usable(); s != nil || err != nil {
		return s, err
	}
	select {
	case k.making <- struct{}{}:
		defer func() { <-k.making }()
	case <-ctx.Done():
		return nil, driver.NotReached(ctx, driver.ErrTimeLimit)
	}
	if s, err := k.usable(); s != nil || err != nil {
		return s, err
	}
	asked := time.Now()
	id, err := k.store.createSession(ctx, k.name, k.times.TTL)
	if err != nil {
		return nil, err
	}
	s := &session{
		keeper: k, id: id, locks: held.NewLocks(k.store.life, held.Times{TTL: sessionFactor * k.times.TTL, Margin: k.times.Margin}),
		wake: make(chan struct{}, 1), used: time.Now(), strays: map[string]bool{},
	}
	s.locks.Empty = s.wakeUp
	s.ctx, s.end = context.WithCancel(k.store.life.Context())
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		k.store.endSession(id)
		return nil, kvdb.ErrClosed
	}
	k.current = s
	k.kept[s] = struct{}{}
	k.store.life.Go(func() { s.keep(asked) })
	return s, nil
}

// usable returns the session, or nil if there is none.
func (k *keeper) usable() (*session, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, kvdb.ErrClosed
	}
	if k.current != nil {
		k.current.used = time.Now()
	}
	return k.current, nil
}

// keep renews the session until it is lost or useless. renewed is the time when the last
// request that renewed it was sent.
func (s *session) keep(renewed time.Time) {
	defer s.finish()
	expiry := held.NewExpiry(s.keeper.times, s.finish)
	defer expiry.Stop()
	expiry.Renewed(renewed)
	timer := time.NewTimer(s.keeper.times.Every)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.wake:
			if !s.useless() {
				continue
			}
		case <-s.ctx.Done():
			return
		}
		if s.useless() {
			return
		}
		sent, err := s.renew()
		if err != nil {
			return
		}
		expiry.Renewed(sent)
		timer.Reset(s.keeper.times.Every)
	}
}

// renew renews the session, and returns when the request was sent. An error says that
// the session is lost or given up.
func (s *session) renew() (time.Time, error) {
	backoff := conn.NewBackoff()
	for {
		sent := time.Now()
		attempt, cancel := driver.WithTimeLimit(call.Unobserved(s.ctx), renewInterval)
		err := s.keeper.store.renewSession(attempt, s.id)
		cancel()
		if err == nil || err == errSessionLost || backoff.Wait(s.ctx) != nil {
			return sent, err
		}
	}
}

// useless reports whether the session has no leases, and either was not requested for the
// idle time or cannot be requested any more.
func (s *session) useless() bool {
	k := s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(s.locks.Keys()) > 0 || k.current == s && time.Since(s.used) < k.idle {
		return false
	}
	s.retireLocked()
	return true
}

// retire makes sure that only the leases which the session has continue to use it.
func (s *session) retire() {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	s.retireLocked()
}

func (s *session) retireLocked() {
	if s.keeper.current == s {
		s.keeper.current = nil
	}
	s.wakeUp()
}

// wakeUp makes keep check whether the session is useless.
func (s *session) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// finish ends the session. Its leases are lost first.
func (s *session) finish() {
	k := s.keeper
	k.mu.Lock()
	s.retireLocked()
	delete(k.kept, s)
	again := s.over
	if !again {
		s.over = true
		s.keys = slices.AppendSeq(s.locks.Keys(), maps.Keys(s.strays))
	}
	k.mu.Unlock()
	s.locks.Lose()
	if again {
		return
	}
	s.end()
	k.store.background(func(ctx context.Context) {
		s.destroyed.Store(k.store.destroySession(ctx, s.id) == nil)
	})
}

// add adds the lock of l to the session, unless that has finished or removes the key.
func (s *session) add(l *lease, locked *api.KVPair) error {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	if s.over || s.strays[locked.Key] {
		return errSessionLost
	}
	l.Lock = s.locks.Add(locked.Key, locked.ModifyIndex, l.remove)
	return nil
}

// close ends all sessions and returns them. Afterwards no session is created.
func (k *keeper) close() []*session {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	return k.abandon()
}

// abandon ends all sessions, and returns them.
func (k *keeper) abandon() []*session {
	k.mu.Lock()
	kept := slices.Collect(maps.Keys(k.kept))
	k.mu.Unlock()
	for _, s := range kept {
		s.finish()
	}
	return kept
}
