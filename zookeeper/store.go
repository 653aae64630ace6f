package zookeeper

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/life"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

const (
	// sessionTimeout is how long the server keeps the locks of a client from which it receives
	// nothing, without the option kvdb.LockTTLKey. The server may grant less.
	sessionTimeout = 20 * time.Second
	// endTimeout is the part of the time of Close that remains for the end of the session.
	endTimeout = 1500 * time.Millisecond
)

// store implements driver.Store.
type store struct {
	driver.MembersNotSupported // Defragment

	main        *conn.Conn // for all but the watches
	servers     conn.Servers
	hub         *hub
	acl         []zk.ACL
	stale       bool // reads need not see the latest writes
	calls       call.Policy
	hooks       driver.Hooks
	secure      bool                    // connections use TLS
	maxRequest  int                     // size in bytes of the largest request that the servers take
	generations cache[int, int32]       // their versions, by number
	sentinels   cache[string, struct{}] // the znodes that have a sentinel, by path
	creates     atomic.Bool             // the last large transaction has found none of its keys
	leases      leases
	checking    atomic.Bool // a check whether history has gone back is under way
	life        *life.Group

	mu        sync.Mutex // protects what is below
	endpoints []string
}

var (
	_ driver.ChildLister = (*store)(nil)
	_ driver.Transactor  = (*store)(nil)
	_ driver.TxChecker   = (*store)(nil)
	_ driver.Snapshotter = (*store)(nil)
	_ driver.MemberAdmin = (*store)(nil)
)

// Profile implements driver.Store.
func (s *store) Profile() driver.Profile {
	return driver.Profile{
		NoTTL: true, NoEmptyValue: true, MaxKey: maxKey,
		Server:    driver.ServerLimits{MaxValue: s.maxRequest - besideValue, MaxTxBytes: s.maxRequest},
		TxDeletes: true, CheckKey: checkKey, CheckPrefix: checkPrefix, OpTimeout: driver.CallTimeout,
	}
}

// bounded returns a context for a read or write that is a part of a longer call.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return driver.WithTimeLimit(ctx, driver.CallTimeout)
}

// Close implements driver.Store. It releases the locks and ends the session.
func (s *store) Close(ctx context.Context) error {
	s.life.Drain()
	err := s.leases.close(ctx)
	s.life.Go(func() { // at the same time as the hub closes its connection
		<-s.life.Context().Done()
		s.main.Close()
	})
	s.life.Close(ctx)
	return err
}
