package etcdv2

import (
	"context"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/internal/members"
	"github.com/portworx/kvdb/internal/held"
	"github.com/portworx/kvdb/internal/life"
	"github.com/portworx/kvdb/internal/settings"
)

const (
	// maxForm is the length in bytes of the longest form that a server reads. A value is
	// sent in a form. The server closes the connection of a longer one, perhaps before it
	// answers.
	maxForm = 10 << 20
	// maxValue leaves room in the form for the names and the TTL.
	maxValue = maxForm - 64
	// maxTTL keeps the time of expiry within what the server can represent. A later one
	// would be in the past.
	maxTTL = 100 * 365 * 24 * time.Hour
)

// store implements driver.Store.
type store struct {
	*members.Admin

	pool  *pool
	stale bool // whether reads may miss the latest writes
	hooks *driver.Hooks

	life      *life.Group
	times     held.Times // of the locks
	locks     *held.Locks
	lockWatch *lockWatch
}

var (
	_ driver.Store       = (*store)(nil)
	_ driver.UserAdmin   = (*store)(nil)
	_ driver.Snapshotter = (*store)(nil)
	_ driver.TTLReader   = (*store)(nil)
	_ driver.MemberAdmin = (*store)(nil)
)

func newStore(p *pool, stale bool, t held.Times, hooks *driver.Hooks) *store {
	s := &store{pool: p, stale: stale, times: t, hooks: hooks, life: life.New()}
	s.locks = held.NewLocks(s.life, t)
	s.lockWatch = newLockWatch(s)
	s.Admin = members.NewAdmin(memberAPI{s}, settings.Etcd2, p.secure)
	p.lifetime, p.launch = s.life.Context(), s.life.Go
	p.history = newHistory(func() { s.life.Go(s.locks.Lose) })
	return s
}

// Profile implements driver.Store.
func (s *store) Profile() driver.Profile {
	return driver.Profile{
		MaxValue: maxValue, MaxTTL: maxTTL, CheckKey: checkKey, CheckPrefix: checkPrefix,
		Server: driver.ServerLimits{MaxValue: maxValue / widest}, NoKeyAboveKeys: true, HiddenUnlisted: true,
		Capabilities: kvdb.KVCapabilityOrderedUpdates, OpTimeout: driver.CallTimeout,
	}
}

// Close implements driver.Store.
func (s *store) Close(ctx context.Context) error {
	err := s.locks.Close(ctx)
	s.pool.transport.CloseIdleConnections()
	return err
}
