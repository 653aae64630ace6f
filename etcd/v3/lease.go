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
	minTTL = 5 * time.Second             // a busy etcd expires shorter leases late
	maxTTL = 9_000_000_000 * time.Second // etcd's own limit
)

const (
	// revokeTimeout bounds how long Close waits until unused leases are revoked, which
	// would expire anyway.
	revokeTimeout = 2 * time.Second
	// maxRevoking is how many leases are revoked in the background at a time.
	maxRevoking = 256
)

// The upper 32 bits of the ID of a lease say what the lease is for. etcd lets its
// clients choose the ID. IDs that it chooses itself have other bits there, those of a
// member's ID and of the time.
const (
	forKey   = 0x6b764f4e // one key, which is written once under the lease
	forKeys  = 0x6b764d41 // several keys, which one transaction writes under the lease
	forHeld  = 0x6b764845 // locks and markers, which this instance removes itself
	tagShift = 32
)

// grant returns the ID of a new lease. It chooses the ID itself, so that it can discard
// a lease when the reply to the request was lost.
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
		case errors.Is(err, rpctypes.ErrLeaseExist): // The lease of another client, or of an earlier try.
			if tries > 1 {
				s.discardUnused(ctx, r.ID)
			}
			continue
		case err != nil:
			s.discardUnused(ctx, r.ID)
			return 0, err
		case reply.TTL > r.TTL && tag != forHeld: // Locks and markers may have a longer TTL.
			s.discard(ctx, r.ID)
			return 0, kvdb.ErrTTLNotSupported // the server has a larger minimum
		}
		return r.ID, nil
	}
}

// retire revokes the lease of a key that was overwritten or deleted, which would
// otherwise live until its TTL ends. It revokes only a lease that never had another key.
// Whether a lease of several keys still has one cannot be known, because etcd answers
// that from the state of one member, which may have lost the leadership.
func (s *store) retire(ctx context.Context, before *mvccpb.KeyValue) {
	if before != nil && before.Lease>>tagShift == forKey {
		s.discard(ctx, before.Lease)
	}
}

// discard revokes a lease that is not needed any more.
func (s *store) discard(ctx context.Context, lease int64) {
	s.soon(ctx, func(ctx context.Context) { _, _ = s.revoke(ctx, lease) })
}

// discardUnused revokes a lease that may have been granted, unless it has a key. By
// chance another client may have a lease of the same ID, but that one has a key.
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

// soon runs f, which revokes a lease, in the background. While maxRevoking leases are
// being revoked it waits, until ctx ends, so that leases do not pile up when there are
// many writers. A lease that cannot be revoked soon ends with its TTL.
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
		ctx, cancel := driver.WithTimeLimit(context.WithoutCancel(s.life.Context()), driver.CallTimeout)
		defer cancel()
		detach := context.AfterFunc(s.life.Context(), func() { time.AfterFunc(revokeTimeout, cancel) })
		defer detach()
		f(ctx)
	})
	if !started {
		<-s.revoking
	}
}

// revoke ends a lease, which deletes its keys.
func (s *store) revoke(ctx context.Context, lease int64) (*pb.LeaseRevokeResponse, error) {
	return read(ctx, s, func(ctx context.Context) (*pb.LeaseRevokeResponse, error) {
		return s.lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: lease}, s.callOpts...)
	})
}
