package consul

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

// opTimeout bounds every call.
const opTimeout = 10 * time.Second

// store implements driver.Store.
type store struct {
	driver.MembersNotSupported // servers join and leave by themselves, as their configuration says

	conn  *conn.Conn
	stale bool // reads need not see the latest writes
	// locks keeps the session of the locks, writer one that holds a key only within a
	// transaction.
	locks, writer *keeper
	ttls          ttlKeys
	history       atomic.Pointer[history]

	lifetime context.Context // ends with cause kvdb.ErrClosed at Close
	end      context.CancelCauseFunc
	// late is the context of background, and ends later than lifetime.
	late    context.Context
	endLate context.CancelFunc

	mu         sync.Mutex // orders begin and launch against Close
	closing    bool       // no call begins any more
	closed     bool       // nothing is launched any more
	calls      sync.WaitGroup
	goroutines sync.WaitGroup
}

var (
	_ driver.Transactor  = (*store)(nil)
	_ driver.TxChecker   = (*store)(nil)
	_ driver.ChildLister = (*store)(nil)
	_ driver.MemberAdmin = (*store)(nil)
)

func newStore(c conn.Config) (*store, error) {
	s := &store{stale: c.Stale}
	var err error
	if s.conn, err = conn.New(c, s.probe); err != nil {
		return nil, err
	}
	s.locks, s.writer = newKeeper(s, locksName), newKeeper(s, writerName)
	s.history.Store(newHistory())
	s.lifetime, s.end = context.WithCancelCause(context.Background())
	s.late, s.endLate = context.WithCancel(context.Background())
	return s, nil
}

// Profile implements driver.Store.
func (s *store) Profile() driver.Profile {
	return driver.Profile{
		MinTTL: minTTL, MaxTTL: maxTTL,
		MaxKey: maxKey, MaxTxOps: conn.MaxOps,
		CheckKey: checkKey, CheckPrefix: checkPrefix,
		OpTimeout: opTimeout,
	}
}

// begin begins a call that may start work in the background. calls.Done ends it. Close
// waits for such calls, whose contexts have ended by then.
func (s *store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return kvdb.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// background runs f on a goroutine that Close waits for. The context of f ends after
// destroyTimeout, or when the context of Close does.
func (s *store) background(f func(ctx context.Context)) {
	s.launch(func() {
		ctx, cancel := driver.WithTimeLimit(s.late, destroyTimeout)
		defer cancel()
		f(ctx)
	})
}

// launch runs f on a goroutine that Close waits for. After Close it does nothing.
func (s *store) launch(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.goroutines.Go(f)
	}
}

// Close implements driver.Store. It ends the session of the locks, which releases them,
// and while Consul cannot be reached tries again until ctx ends.
func (s *store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.calls.Wait()
	ended := s.locks.close()
	s.writer.close()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(kvdb.ErrClosed)
	stop := context.AfterFunc(ctx, s.endLate)
	s.goroutines.Wait()
	stop()
	s.endLate()
	s.conn.Close()
	var keys []string
	for _, session := range ended {
		if !session.destroyed.Load() {
			keys = append(keys, session.keys()...)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	return fmt.Errorf("%w: the locks %q are held until their session ends, for %v at most",
		kvdb.ErrNoConnection, slices.Compact(keys), sessionFactor*keptTTL)
}
