package etcdv3

import (
	"bytes"
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// DeletePrefix implements driver.Store. It does not delete locks.
func (s *store) DeletePrefix(ctx context.Context, prefix string) error {
	everything := below(prefix)
	locks, overlap := s.lockRange(prefix)
	if !overlap {
		_, err := write(ctx, s, func(ctx context.Context) (*pb.DeleteRangeResponse, error) {
			return s.kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: everything.key, RangeEnd: everything.end}, s.callOpts...)
		})
		return err
	}
	// The first request deletes everything if no key in the range of locks has a
	// lease. It does not fail because of other writers, which matters without a domain:
	// then that range is all keys. If it fails, its reply has the keys of that range, and
	// the next request deletes all but the locks, unless the range has changed.
	safe := &pb.Compare{
		Key: locks.key, Result: pb.Compare_EQUAL, Target: pb.Compare_LEASE, TargetUnion: &pb.Compare_Lease{Lease: 0},
	}
	ranges := []keyRange{everything}
	for {
		safe.RangeEnd = locks.end
		then := make([]*pb.RequestOp, len(ranges))
		for i, r := range ranges {
			then[i] = deleteOp(&pb.DeleteRangeRequest{Key: r.key, RangeEnd: r.end})
		}
		reply, err := s.txn(ctx, &pb.TxnRequest{
			Compare: []*pb.Compare{safe}, Success: then,
			Failure: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: locks.key, RangeEnd: locks.end})},
		})
		if err != nil || reply.Succeeded {
			return err
		}
		kvs := reply.Responses[0].GetResponseRange().Kvs
		ranges = s.around(everything, kvs)
		safe = &pb.Compare{
			Key: locks.key, Result: pb.Compare_LESS, Target: pb.Compare_MOD,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: reply.Header.Revision + 1},
		}
	}
}

// around returns r without the locks among kvs, as ranges between the locks. kvs is
// everything in the range of locks, so ranges without a pair are left out.
func (s *store) around(r keyRange, kvs []*mvccpb.KeyValue) []keyRange {
	var ranges []keyRange
	from, occupied := r.key, true // There may be keys before the range of locks.
	for _, kv := range kvs {
		if !s.isLock(kv) {
			occupied = true
			continue
		}
		if occupied && !bytes.Equal(from, kv.Key) {
			ranges = append(ranges, keyRange{from, kv.Key})
		}
		from, occupied = append(bytes.Clone(kv.Key), 0), false
	}
	return append(ranges, keyRange{from, r.end})
}
