package etcdv3

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/held"
)

// Commit implements driver.Transactor.
func (s *store) Commit(ctx context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	for {
		err := s.commit(ctx, reads, writes, locks)
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
		// A lease expired before the request ran, which has written nothing.
	}
}

func (s *store) commit(ctx context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	r := &pb.TxnRequest{}
	for _, l := range locks {
		l := l.(*held.Lock)
		key := []byte(l.Key())
		r.Compare = append(r.Compare, modifiedAt(key, int64(l.Token())))
		r.Failure = append(r.Failure, get(key, true))
	}
	for _, read := range reads {
		r.Compare = append(r.Compare, modifiedAt([]byte(read.Key), int64(read.Modified)))
	}
	if len(writes) == 0 {
		// A member answers a transaction without operations from its own state, which
		// may lag. A read in it makes the transaction linearizable.
		r.Success = []*pb.RequestOp{get(r.Compare[0].Key, true)}
	}
	sharing := map[time.Duration]int{} // TTL → number of keys with it
	for _, w := range writes {
		sharing[w.TTL]++
	}
	leases := map[time.Duration]int64{}
	discard := func() {
		for _, id := range leases {
			s.discard(ctx, id)
		}
	}
	for _, w := range writes {
		if w.Delete {
			r.Success = append(r.Success, deleteOp(&pb.DeleteRangeRequest{Key: []byte(w.Key)}))
			continue
		}
		if w.TTL > 0 && leases[w.TTL] == 0 {
			tag := int64(forKeys)
			if sharing[w.TTL] == 1 {
				tag = forKey
			}
			id, err := s.grant(ctx, w.TTL, tag)
			if err != nil {
				discard()
				return err
			}
			leases[w.TTL] = id
		}
		r.Success = append(r.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{
			Key: []byte(w.Key), Value: w.Value, Lease: leases[w.TTL],
		}}})
	}
	send := s.txn
	if len(writes) == 0 {
		send = s.readTxn
	}
	reply, err := send(ctx, r)
	if err == nil && !reply.Succeeded {
		err = broken(reply, locks)
	}
	if err != nil && !errors.Is(err, kvdb.ErrUnknownOutcome) {
		discard()
	}
	return err
}

// broken returns the error of a transaction whose conditions did not all hold.
func broken(reply *pb.TxnResponse, locks []driver.Lease) error {
	for i, l := range locks {
		if kv := found(reply, i); kv == nil || !isKeyOf(kv, l.(*held.Lock)) {
			return kvdb.ErrInvalidLock
		}
	}
	return kvdb.ErrModified
}
