package etcdv2

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

const (
	// maxForm is the longest form in bytes that a server reads, which is what a value
	// is sent in. It would cut the connection of a longer one, perhaps before its answer.
	maxForm = 10 << 20
	// maxValue leaves room in the form for the names and the TTL.
	maxValue = maxForm - 64
	// maxTTL keeps times of expiry within what the server can express: what is beyond
	// would expire at once.
	maxTTL = 100 * 365 * 24 * time.Hour
)

// store implements driver.Store.
type store struct {
	pool  *pool
	stale bool // reads need not see the latest writes

	lifetime context.Context // ends with cause kvdb.ErrClosed at Close
	end      context.CancelCauseFunc

	// late is for what must be done after a call, also while Close runs.
	late    context.Context
	endLate context.CancelCauseFunc

	mu         sync.Mutex // protects what is below, and orders Lock and launch against Close
	closing    bool       // no call of Lock begins any more
	closed     bool       // nothing is launched any more
	locking    sync.WaitGroup
	goroutines sync.WaitGroup
	leases     map[*lease]struct{} // that are held
	unreleased []string            // keys of locks that Close could not release

	locks *lockWatch
}

var (
	_ driver.Store     = (*store)(nil)
	_ driver.UserAdmin = (*store)(nil)
	_ kvdb.Controller  = (*store)(nil)
)

func newStore(p *pool, stale bool) *store {
	s := &store{pool: p, stale: stale, leases: map[*lease]struct{}{}}
	s.lifetime, s.end = context.WithCancelCause(context.Background())
	s.late, s.endLate = context.WithCancelCause(context.Background())
	p.lifetime, p.launch = s.lifetime, s.launch
	p.history = newHistory(func() { s.launch(s.loseAll) })
	s.locks = newLockWatch(s)
	return s
}

// Profile implements driver.Store.
func (s *store) Profile() driver.Profile {
	return driver.Profile{
		MaxValue: maxValue, MaxTTL: maxTTL, CheckKey: checkKey, CheckPrefix: checkPrefix,
		Capabilities: kvdb.KVCapabilityOrderedUpdates, OpTimeout: opTimeout,
	}
}

// loseAll tells the holders of all locks that they are lost.
func (s *store) loseAll() {
	s.mu.Lock()
	held := slices.Collect(maps.Keys(s.leases))
	s.mu.Unlock()
	for _, l := range held {
		l.lose()
	}
}

// launch runs f on a goroutine that Close waits for; false after Close.
func (s *store) launch(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.goroutines.Go(f)
	return true
}

// beginLock begins a call of Lock, which ends with locking.Done. Close, which comes
// when the contexts of calls have ended, waits: a lock may be left to be removed.
func (s *store) beginLock() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return kvdb.ErrClosed
	}
	s.locking.Add(1)
	return nil
}

// release removes the node of a lock, again while etcd cannot be reached, until it has
// expired or Close has no time left, which names the lock then.
func (s *store) release(path, value string) {
	ctx, cancel := driver.WithTimeLimit(s.late, lockTTL)
	defer cancel()
	backoff := newBackoff()
	for {
		_, err := s.removeAs(ctx, repeatable, path, client.DeleteOptions{PrevValue: value})
		if err == nil || isGone(err) {
			return
		}
		isLost := errors.Is(err, kvdb.ErrNoConnection)
		if !isLost || backoff.Wait(ctx) != nil {
			break
		}
	}
	if s.late.Err() == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unreleased = append(s.unreleased, lockedKey(path))
}

// Close implements driver.Store.
func (s *store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.locking.Wait()
	s.mu.Lock()
	s.closed = true
	held := s.leases
	s.leases = map[*lease]struct{}{}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { s.endLate(driver.ErrTimeLimit) })
	var releasing sync.WaitGroup
	for l := range held {
		l.lose()
		releasing.Go(func() { s.release(l.path, l.value) })
	}
	releasing.Wait()
	s.end(kvdb.ErrClosed)
	s.goroutines.Wait()
	stop()
	s.endLate(nil)
	s.pool.transport.CloseIdleConnections()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unreleased) == 0 {
		return nil
	}
	slices.Sort(s.unreleased)
	return fmt.Errorf("%w: not released, so held for up to %v: the locks %q", kvdb.ErrNoConnection, lockTTL, slices.Compact(s.unreleased))
}
