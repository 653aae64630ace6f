package zookeeper

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

const (
	// opTimeout bounds reads and writes.
	opTimeout = 10 * time.Second
	// sessionTimeout is how long the server keeps the locks of a client that it
	// does not hear of. The server may grant less.
	sessionTimeout = 20 * time.Second
)

// store implements driver.Store.
type store struct {
	driver.MembersNotSupported // Defragment

	main        *conn.Conn
	servers     conn.Servers
	hub         *hub
	acl         []zk.ACL
	stale       bool // reads need not see the latest writes
	retries     int  // how often a request is sent again; 0: as often as there is time
	secure      bool // connections use TLS
	generations generations
	sentinels   pathSet // containers that have a keep
	leases      leases
	// checking: it is being found out whether history has gone back.
	checking atomic.Bool

	maxRequest int // bytes that the servers take

	lifetime context.Context // ends with cause kvdb.ErrClosed at Close
	end      context.CancelCauseFunc

	mu         sync.Mutex // protects what is below, and orders launch against Close
	closed     bool
	endpoints  []string
	goroutines sync.WaitGroup
}

var (
	_ driver.ChildLister = (*store)(nil)
	_ driver.Transactor  = (*store)(nil)
	_ driver.TxChecker   = (*store)(nil)
	_ driver.MemberAdmin = (*store)(nil)
)

// Profile implements driver.Store.
func (s *store) Profile() driver.Profile {
	return driver.Profile{
		NoTTL: true, NoEmptyValue: true, MaxKey: maxKey,
		CheckKey: checkKey, CheckPrefix: checkPrefix, OpTimeout: opTimeout,
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

// endTimeout is how much of the time of Close is for the end of the session.
const endTimeout = 1500 * time.Millisecond

// Close implements driver.Store. It ends the session.
func (s *store) Close(ctx context.Context) error {
	err := s.leases.close(ctx)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(kvdb.ErrClosed)
	s.main.Close()
	s.goroutines.Wait()
	return err
}
