package consul

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/life"
)

// store implements driver.Store.
type store struct {
	driver.MembersNotSupported // servers join and leave by themselves, as their configuration says

	conn  *conn.Conn
	hooks driver.Hooks
	stale bool // reads need not see the latest writes
	// locks keeps the session of the locks, writer one that holds a key only within a
	// transaction.
	locks, writer *keeper
	ttls          ttlKeys
	history       atomic.Pointer[history]

	life *life.Group
}

var (
	_ driver.Transactor  = (*store)(nil)
	_ driver.TxChecker   = (*store)(nil)
	_ driver.ChildLister = (*store)(nil)
	_ driver.Snapshotter = (*store)(nil)
	_ driver.TTLReader   = (*store)(nil)
	_ driver.MemberAdmin = (*store)(nil)
)

func newStore(c config) (*store, error) {
	s := &store{stale: c.Stale, life: life.New()}
	c.Hooks, c.Backend = &s.hooks, Name
	var err error
	if s.conn, err = conn.New(c.Config, s.probe); err != nil {
		return nil, err
	}
	s.locks, s.writer = newKeeper(s, locksName, keptTimes.Fit(c.lockTTL/sessionFactor)), newKeeper(s, writerName, keptTimes)
	s.history.Store(newHistory())
	return s, nil
}

// Profile implements driver.Store.
func (s *store) Profile() driver.Profile {
	return driver.Profile{
		MinTTL: minTTL, MaxTTL: maxTTL,
		MaxKey: maxKey, MaxTxOps: conn.MaxOps,
		// Three bytes of a value are four in a transaction.
		Server:    driver.ServerLimits{MaxValue: conn.MaxValue, MaxTxBytes: conn.MaxBody * 3 / 4, Defaults: true},
		TxDeletes: true, CheckKey: checkKey, CheckPrefix: checkPrefix,
		OpTimeout: driver.CallTimeout,
	}
}

// background runs f on a goroutine that Close waits for. The context of f ends after
// destroyTimeout, or when the context of Close does.
func (s *store) background(f func(ctx context.Context)) {
	s.life.Go(func() {
		ctx, cancel := driver.WithTimeLimit(s.life.Late(), destroyTimeout)
		defer cancel()
		f(ctx)
	})
}

// Close implements driver.Store. It ends the session of the locks, which releases them,
// and while Consul cannot be reached tries again until ctx ends.
func (s *store) Close(ctx context.Context) error {
	s.life.Drain()
	ended := s.locks.close()
	s.writer.close()
	s.life.Close(ctx)
	s.conn.Close()
	var keys []string
	for _, session := range ended {
		if !session.destroyed.Load() {
			keys = append(keys, session.keys...)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	return fmt.Errorf("%w: the locks %q are held until their session ends, for %v at most",
		kvdb.ErrNoConnection, slices.Compact(keys), sessionFactor*s.locks.times.TTL)
}
