package etcdv3

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/internal/members"
	"github.com/portworx/kvdb/internal/retry"
)

// The default limits of the server, which the texts of errors name. The server may be
// started with others; it enforces them.
const (
	maxRequest = 1536 << 10 // bytes
	maxTxOps   = 128
)

// store implements driver.Store.
type store struct {
	*members.Admin

	client *clientv3.Client
	// The services of the client as gRPC stubs, which do not copy values, and which
	// send a request again only when the login has expired.
	kv       pb.KVClient
	lease    pb.LeaseClient
	watcher  pb.WatchClient
	callOpts []grpc.CallOption

	domain  string // "" or with a slash at its end
	locks   string // what the keys of locks begin with
	secure  bool   // whether endpoints are https
	stale   bool   // whether reads may be stale
	retries int    // how often a request is sent again

	history     history
	hub         *hub
	attempts    keyed         // one attempt per lock key at a time
	sessionTurn chan struct{} // has an element while a goroutine uses present
	present     *session      // the last session, or nil
	revoking    chan struct{} // has an element for each lease that is being revoked in the background

	lifetime context.Context // ends with Close
	end      context.CancelCauseFunc

	mu        sync.Mutex // protects what is below
	closed    bool
	wg        sync.WaitGroup
	endpoints []string // as they were given
}

var (
	_ driver.Store       = (*store)(nil)
	_ driver.ChildLister = (*store)(nil)
	_ driver.Transactor  = (*store)(nil)
	_ driver.Compacter   = (*store)(nil)
	_ driver.UserAdmin   = (*store)(nil)
	_ driver.MemberAdmin = (*store)(nil)
)

func (s *store) Profile() driver.Profile {
	return driver.Profile{
		MinTTL: minTTL, MaxTTL: maxTTL,
		Capabilities: kvdb.KVCapabilityOrderedUpdates, OpTimeout: opTimeout,
	}
}

// launch runs f on a goroutine that Close waits for. It returns false after Close.
func (s *store) launch(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

// background runs f in the background, and repeats it while the store cannot be
// reached, until Close.
func (s *store) background(f func(context.Context) error) {
	s.launch(func() {
		backoff := retry.Backoff{Min: 100 * time.Millisecond, Max: 2 * time.Second}
		for backoff.Wait(s.lifetime) == nil {
			err := f(s.lifetime)
			if !errors.Is(err, kvdb.ErrNoConnection) && !errors.Is(err, kvdb.ErrUnknownOutcome) {
				return
			}
		}
	})
}

func (s *store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.sessionTurn <- struct{}{} // Never taken back, so there is no session any more.
	s.end(kvdb.ErrClosed)
	var err error
	if s.present != nil {
		err = s.present.release(ctx)
	}
	s.wg.Wait()
	return errors.Join(err, s.client.Close())
}
