package etcdv3

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

const (
	minTTL = 5 * time.Second             // below, a busy etcd expires keys late
	maxTTL = 9_000_000_000 * time.Second // etcd's
)

// revokeTimeout bounds how long Close waits for a lease to be revoked that nobody
// waits for, and that would expire anyway, maxRevoking the number of those that are revoked at a time in the
// background.
const (
	revokeTimeout = 2 * time.Second
	maxRevoking   = 256
)

// What the upper 32 bits of the IDs of leases say, which etcd lets us choose. Those
// that it chooses itself have bits of a member's ID and of the time there.
const (
	forKey   = 0x6b764f4e // one key, which is written once under it
	forKeys  = 0x6b764d41 // several keys, which one transaction writes under it
	forHeld  = 0x6b764845 // what this instance holds: locks, markers
	tagShift = 32
)

// grant returns a new lease. Its ID is chosen here, so that one whose answer was
// lost can be discarded.
func (s *store) grant(ctx context.Context, ttl time.Duration, tag int64) (int64, error) {
	r := &pb.LeaseGrantRequest{TTL: int64(ttl / time.Second)}
	for {
		r.ID = tag<<tagShift | rand.Int64N(1<<tagShift)
		tries := 0
		reply, err := read(ctx, s, func(ctx context.Context) (*pb.LeaseGrantResponse, error) {
			tries++
			return s.lease.LeaseGrant(ctx, r, s.callOpts...)
		})
		switch {
		case errors.Is(err, rpctypes.ErrLeaseExist): // somebody else's, or that of an earlier try
			if tries > 1 {
				s.discardUnused(ctx, r.ID)
			}
			continue
		case err != nil:
			s.discardUnused(ctx, r.ID)
			return 0, err
		case reply.TTL > r.TTL && tag != forHeld: // what is held ends when it is let go
			s.discard(ctx, r.ID)
			return 0, kvdb.ErrTTLNotSupported // the server has a larger minimum
		}
		return r.ID, nil
	}
}

// retire revokes the lease that a key was under before it was written anew or
// deleted: it would live on until its TTL ends. It must be one that never had
// another key: whether one of several keys has others still, nobody can tell, for
// etcd answers that from what a member knows, which may just have been the leader.
func (s *store) retire(ctx context.Context, before *mvccpb.KeyValue) {
	if before != nil && before.Lease>>tagShift == forKey {
		s.discard(ctx, before.Lease)
	}
}

// discard revokes a lease that nobody needs.
func (s *store) discard(ctx context.Context, lease int64) {
	s.soon(ctx, func(ctx context.Context) { _, _ = s.revoke(ctx, lease) })
}

// discardUnused revokes a lease that may have been granted. If it was not, it may
// by chance be somebody else's, but then it has a key.
func (s *store) discardUnused(ctx context.Context, lease int64) {
	s.soon(ctx, func(ctx context.Context) {
		reply, err := read(ctx, s, func(ctx context.Context) (*pb.LeaseTimeToLiveResponse, error) {
			return s.lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: lease, Keys: true}, s.callOpts...)
		})
		if err == nil && len(reply.Keys) == 0 {
			_, _ = s.revoke(ctx, lease)
		}
	})
}

// soon runs f, which revokes a lease, in the background. While that is too much at
// a time it waits, until ctx ends: leases must not pile up behind many writers. What
// cannot be revoked soon is left to its TTL.
func (s *store) soon(ctx context.Context, f func(context.Context)) {
	select {
	case s.revoking <- struct{}{}:
	default:
		select {
		case s.revoking <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
	started := s.life.Go(func() {
		defer func() { <-s.revoking }()
		ctx, cancel := driver.WithTimeLimit(context.WithoutCancel(s.life.Context()), opTimeout)
		defer cancel()
		detach := context.AfterFunc(s.life.Context(), func() { time.AfterFunc(revokeTimeout, cancel) })
		defer detach()
		f(ctx)
	})
	if !started {
		<-s.revoking
	}
}

// revoke ends a lease, and what is under it.
func (s *store) revoke(ctx context.Context, lease int64) (*pb.LeaseRevokeResponse, error) {
	return read(ctx, s, func(ctx context.Context) (*pb.LeaseRevokeResponse, error) {
		return s.lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: lease}, s.callOpts...)
	})
}
