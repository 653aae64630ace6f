package etcdv3

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/portworx/kvdb"
)

// maxAsking is how many leases are asked for at a time.
const maxAsking = 64

// TTL implements driver.TTLReader. It asks for the key's lease.
func (s *store) TTL(ctx context.Context, key string) (remaining time.Duration, has bool, err error) {
	for seen := int64(0); ; {
		reply, err := s.rangeOf(ctx, &pb.RangeRequest{Key: []byte(key), KeysOnly: true, Serializable: s.stale})
		switch {
		case err != nil:
			return 0, false, err
		case len(reply.Kvs) == 0:
			return 0, false, kvdb.ErrNotFound
		case reply.Kvs[0].Lease == 0:
			return 0, false, nil
		}
		seconds, err := s.remaining(ctx, reply.Kvs[0].Lease)
		if err != nil {
			return 0, false, err
		}
		if modified := reply.Kvs[0].ModRevision; seconds == 0 && modified != seen {
			seen = modified // The lease is gone, so the key is gone or was overwritten.
			continue
		}
		return time.Duration(max(1, seconds)) * time.Second, true, nil
	}
}

// remaining returns the remaining seconds of a lease, rounded up, or 0 if the lease does not
// exist.
func (s *store) remaining(ctx context.Context, lease int64) (int64, error) {
	reply, err := read(ctx, s, func(ctx context.Context) (*pb.LeaseTimeToLiveResponse, error) {
		return s.lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: lease}, s.callOpts...)
	})
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	// etcd rounds down. The granted TTL of a lease that does not exist is 0.
	return min(max(0, reply.TTL)+1, reply.GrantedTTL), nil
}

// leased has pairs by the ID of their lease.
type leased map[int64]kvdb.KVPairs

// add adds the pairs of kvs that have a lease.
func (l leased) add(pairs kvdb.KVPairs, kvs []*mvccpb.KeyValue) {
	for i, kv := range kvs {
		if kv.Lease != 0 {
			l[kv.Lease] = append(l[kv.Lease], pairs[i])
		}
	}
}

// setTTLs sets the TTLs of pairs with a request for each lease. If a lease is gone, the pairs
// have expired or were overwritten since they were read, and get a TTL of 1.
func (s *store) setTTLs(ctx context.Context, l leased) error {
	if len(l) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, maxAsking)
	var asking sync.WaitGroup
	var failed sync.Once
	var first error
	for lease, pairs := range l {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			seconds, err := s.remaining(ctx, lease)
			if err != nil {
				failed.Do(func() { first = err; cancel(err) })
			}
			for _, pair := range pairs {
				pair.TTL = max(1, seconds)
			}
		})
	}
	asking.Wait()
	return first
}
