package etcdv3

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/portworx/kvdb"
)

const (
	minTTL = 5 * time.Second             // below, a busy etcd expires keys late
	maxTTL = 9_000_000_000 * time.Second // etcd's
)

// revokeTimeout bounds the wait for a lease to be revoked that would expire
// anyway.
const revokeTimeout = 2 * time.Second

// grant returns a new lease. Its ID is chosen here, so that a request without an
// answer can be sent again: it makes no second lease.
func (s *store) grant(ctx context.Context, ttl time.Duration) (int64, error) {
	r := &pb.LeaseGrantRequest{ID: 1 + rand.Int64N(1<<62), TTL: int64(ttl / time.Second)}
	reply, err := read(ctx, s, func(ctx context.Context) (*pb.LeaseGrantResponse, error) {
		return s.lease.LeaseGrant(ctx, r, s.callOpts...)
	})
	switch {
	case errors.Is(err, rpctypes.ErrLeaseExist): // the answer to an earlier try was lost
		return r.ID, nil
	case err != nil:
		s.discard(r.ID)
		return 0, err
	case reply.TTL > r.TTL:
		s.discard(r.ID)
		return 0, kvdb.ErrTTLNotSupported // the server has a larger minimum
	}
	return r.ID, nil
}

// revoke ends a lease, and what is under it.
func (s *store) revoke(ctx context.Context, lease int64) (*pb.LeaseRevokeResponse, error) {
	return read(ctx, s, func(ctx context.Context) (*pb.LeaseRevokeResponse, error) {
		return s.lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: lease}, s.callOpts...)
	})
}

// discard revokes a lease that nobody needs, in the background when that does
// not work at once. One that was never granted does no harm.
func (s *store) discard(lease int64) {
	ctx, cancel := context.WithTimeout(s.lifetime, revokeTimeout)
	defer cancel()
	if _, err := s.revoke(ctx, lease); errors.Is(err, kvdb.ErrNoConnection) {
		s.background(func(ctx context.Context) error { _, err := s.revoke(ctx, lease); return err })
	}
}
