package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/common"
	"github.com/portworx/kvdb/internal/call"
	"github.com/portworx/kvdb/internal/held"
	"github.com/portworx/kvdb/internal/option"
	"github.com/portworx/kvdb/internal/retry"
)

// lockTTLs are from 10 s on, because a lock must survive that one member does not answer and
// another one is tried, or that the members elect a leader.
var lockTTLs = option.LockTTLs{Least: 10, Most: 24 * 60 * 60, Otherwise: common.DefaultLockTTL}

// sessionTimes are the times of a session without the option kvdb.LockTTLKey.
var sessionTimes = held.Times{TTL: common.DefaultLockTTL * time.Second, Margin: time.Second, Every: common.DefaultLockRefreshDuration}

// session is the lease of all locks of an instance, and keeps the lease alive. The
// first lock creates a session, and so does the next lock after a session was lost.
type session struct {
	s  *store
	id int64
	// ctx ends when the lease is lost, or the store is closed.
	ctx    context.Context
	end    context.CancelFunc
	expiry *held.Expiry

	locks *held.Locks // by their lock keys
}

// session returns the present session, or a new one if there is none.
func (s *store) session(ctx context.Context) (*session, error) {
	select {
	case s.sessionTurn <- struct{}{}:
		defer func() { <-s.sessionTurn }()
	case <-ctx.Done():
		return nil, driver.NotReached(ctx, errors.New("another call waits for the lease of the locks"))
	}
	if s.present != nil && s.present.ctx.Err() == nil {
		return s.present, nil
	}
	sent := time.Now()
	id, err := s.grant(ctx, s.times.TTL, forHeld)
	if err != nil {
		return nil, err
	}
	se := &session{s: s, id: id, locks: held.NewLocks(s.life, s.times)}
	se.ctx, se.end = context.WithCancel(s.life.Context())
	se.expiry = held.NewExpiry(s.times, se.expire)
	se.expiry.Renewed(sent)
	s.present = se
	if !s.life.Go(se.keepAlive) {
		se.expiry.Stop()
		return nil, kvdb.ErrClosed
	}
	return se, nil
}

// expire ends the session, so that its locks are lost.
func (se *session) expire() {
	se.end()
	se.locks.Lose()
}

// release revokes the lease of a session that has ended. It tries until ctx ends if there
// were locks, whose keys are in locked, and otherwise for revokeTimeout.
func (se *session) release(ctx context.Context, locked []string) error {
	if len(locked) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = driver.WithTimeLimit(ctx, revokeTimeout)
		defer cancel()
	}
	_, err := se.s.revoke(ctx, se.id)
	if err == nil || errors.Is(err, rpctypes.ErrLeaseNotFound) || len(locked) == 0 {
		return nil
	}
	for i, key := range locked {
		locked[i] = key[len(se.s.locks):]
	}
	return fmt.Errorf("not released, so held for up to %v: the locks %q: %w", se.s.times.TTL, locked, err)
}

var errLeaseGone = errors.New("the lease is gone")

// keepAlive keeps the lease alive until the session ends.
func (se *session) keepAlive() {
	defer se.expire()
	defer se.expiry.Stop()
	backoff := retry.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
	for {
		renewed, err := se.renew()
		if errors.Is(err, errLeaseGone) {
			return
		}
		if renewed {
			backoff.Reset()
		}
		if backoff.Wait(se.ctx) != nil {
			return
		}
	}
}

// renew keeps the lease alive over one gRPC stream until the stream fails. It gives up a
// member that does not answer soon, because another one may answer.
func (se *session) renew() (renewed bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(se.ctx))
	defer cancel()
	silent := time.AfterFunc(call.AttemptTimeout, cancel)
	defer silent.Stop()
	stream, err := se.s.lease.LeaseKeepAlive(ctx, se.s.callOpts...)
	if err != nil {
		return false, err
	}
	tick := time.NewTicker(se.s.times.Every)
	defer tick.Stop()
	for {
		sent := time.Now()
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: se.id}); err != nil {
			return renewed, err
		}
		reply, err := stream.Recv()
		switch {
		case err != nil:
			return renewed, err
		case reply.ID != se.id:
			return renewed, errors.New("etcd has kept another lease alive than was asked for")
		case reply.TTL <= 0:
			return renewed, errLeaseGone
		}
		silent.Stop()
		renewed = true
		// A lease with a shorter TTL ends as if it had been renewed earlier.
		shorter := max(0, se.s.times.TTL-time.Duration(reply.TTL)*time.Second)
		se.expiry.Renewed(sent.Add(-shorter))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return renewed, ctx.Err()
		}
		silent.Reset(call.AttemptTimeout)
	}
}
