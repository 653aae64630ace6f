package etcdv3

import (
	"context"
	"errors"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/internal/members"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/held"
	"github.com/portworx/kvdb/internal/life"
)

// The default limits of the server, which the texts of errors name. The server may be
// started with others; it enforces them.
const (
	maxRequest = 1536 << 10 // bytes
	maxTxOps   = 128
)

// besideValue is more than a request has in addition to a value, if the key has up to 1 KiB.
const besideValue = 4 << 10

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

	domain string // "" or with a slash at its end
	locks  string // what the keys of locks begin with
	secure bool   // whether endpoints are https
	stale  bool   // whether reads may be stale
	calls  call.Policy
	hooks  driver.Hooks

	history     history
	hub         *hub
	attempts    keyed         // one attempt per lock key at a time
	sessionTurn chan struct{} // has an element while a goroutine uses present
	present     *session      // the last session, or nil
	times       held.Times    // of the sessions
	revoking    chan struct{} // has an element for each lease that is being revoked in the background

	life *life.Group

	mu        sync.Mutex // protects what is below
	endpoints []string   // as they were given
}

var (
	_ driver.Store       = (*store)(nil)
	_ driver.ChildLister = (*store)(nil)
	_ driver.Transactor  = (*store)(nil)
	_ driver.Compacter   = (*store)(nil)
	_ driver.UserAdmin   = (*store)(nil)
	_ driver.Snapshotter = (*store)(nil)
	_ driver.TTLReader   = (*store)(nil)
	_ driver.MemberAdmin = (*store)(nil)
)

func (s *store) Profile() driver.Profile {
	return driver.Profile{
		MinTTL: minTTL, MaxTTL: maxTTL, SlowTTL: true,
		Server: driver.ServerLimits{
			MaxValue: maxRequest - besideValue, MaxTxOps: maxTxOps, MaxTxBytes: maxRequest, Defaults: true,
		},
		TxDeletes: true, Capabilities: kvdb.KVCapabilityOrderedUpdates, OpTimeout: driver.CallTimeout,
	}
}

func (s *store) Close(ctx context.Context) error {
	s.sessionTurn <- struct{}{} // Never taken back, so there is no session any more.
	var err error
	if s.present != nil {
		locked := s.present.locks.Keys()
		s.present.expire()
		s.life.Go(func() { err = s.present.release(s.life.Late(), locked) })
	}
	s.life.Close(ctx)
	return errors.Join(err, s.client.Close())
}
