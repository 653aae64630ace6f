package etcdv3

import (
	"context"
	"errors"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
)

// smallValue is the size in bytes up to which put asks for the whole previous pair
// to learn its create revision. For larger values a transaction that reads the pair
// without its value is cheaper.
const smallValue = 16 << 10

// valueOf returns the value as it was written. etcd sends an empty value as nil.
func valueOf(kv *mvccpb.KeyValue) []byte {
	if kv.Value == nil {
		return []byte{}
	}
	return kv.Value
}

// pairOf returns a pair without its key, which the caller knows.
func pairOf(kv *mvccpb.KeyValue, revision int64) *kvdb.KVPair {
	return keyedPair("", kv, revision)
}

func keyedPair(key string, kv *mvccpb.KeyValue, revision int64) *kvdb.KVPair {
	return &kvdb.KVPair{
		Key: key, Value: valueOf(kv), KVDBIndex: uint64(revision),
		CreatedIndex: uint64(kv.CreateRevision), ModifiedIndex: uint64(kv.ModRevision),
	}
}

// keyStrings returns the keys of kvs as parts of one string, which saves an
// allocation per key.
func keyStrings(kvs []*mvccpb.KeyValue) []string {
	size := 0
	for _, kv := range kvs {
		size += len(kv.Key)
	}
	var all strings.Builder
	all.Grow(size)
	keys := make([]string, len(kvs))
	for i, kv := range kvs {
		all.Write(kv.Key)
		keys[i] = all.String()[all.Len()-len(kv.Key):]
	}
	return keys
}

func (s *store) rangeOf(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	reply, err := send(ctx, s, call.Repeatable, !r.Serializable, func(ctx context.Context) (*pb.RangeResponse, error) {
		return s.kv.Range(ctx, r, s.callOpts...)
	})
	if errors.Is(err, rpctypes.ErrFutureRev) { // The store went back, so its history does not have the revision.
		err = kvdb.ErrWatchRevisionCompacted
	}
	return reply, err
}

func (s *store) txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	return write(ctx, s, func(ctx context.Context) (*pb.TxnResponse, error) { return s.kv.Txn(ctx, r, s.callOpts...) })
}

// readTxn is like txn, for a transaction that changes nothing.
func (s *store) readTxn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	return read(ctx, s, func(ctx context.Context) (*pb.TxnResponse, error) { return s.kv.Txn(ctx, r, s.callOpts...) })
}

func (s *store) Get(ctx context.Context, key string) (*kvdb.KVPair, error) {
	reply, err := s.rangeOf(ctx, &pb.RangeRequest{Key: []byte(key), Serializable: s.stale})
	if err != nil {
		return nil, err
	}
	if len(reply.Kvs) == 0 {
		return nil, kvdb.ErrNotFound
	}
	return pairOf(reply.Kvs[0], reply.Header.Revision), nil
}

func (s *store) Put(ctx context.Context, w driver.Write) (driver.Indexes, error) {
	if w.TTL == 0 {
		return s.put(ctx, w, 0)
	}
	for {
		lease, err := s.grant(ctx, w.TTL, forKey)
		if err != nil {
			return driver.Indexes{}, err
		}
		indexes, err := s.put(ctx, w, lease)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			continue // The request took longer than the TTL and has written nothing.
		}
		if err != nil && !errors.Is(err, kvdb.ErrUnknownOutcome) {
			s.discard(ctx, lease)
		}
		return indexes, err
	}
}

func (s *store) put(ctx context.Context, w driver.Write, lease int64) (driver.Indexes, error) {
	key := []byte(w.Key)
	put := &pb.PutRequest{Key: key, Value: w.Value, Lease: lease}
	compares := compare(key, w.Cond)
	if len(compares) == 0 && len(w.Value) <= smallValue {
		put.PrevKv = true
		reply, err := write(ctx, s, func(ctx context.Context) (*pb.PutResponse, error) {
			return s.kv.Put(ctx, put, s.callOpts...)
		})
		if err != nil {
			return driver.Indexes{}, err
		}
		s.retire(ctx, reply.PrevKv)
		return indexes(reply.Header.Revision, reply.PrevKv), nil
	}
	then := []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}}
	if !w.Cond.NeedsNoKey() {
		then = append([]*pb.RequestOp{get(key, true)}, then...)
	}
	reply, err := s.txn(ctx, &pb.TxnRequest{
		Compare: compares, Success: then, Failure: []*pb.RequestOp{get(key, !w.Cond.HasValue)},
	})
	switch {
	case err != nil:
		return driver.Indexes{}, err
	case !reply.Succeeded:
		return driver.Indexes{}, failed(w.Cond, found(reply, 0))
	case w.Cond.NeedsNoKey():
		return indexes(reply.Header.Revision, nil), nil
	default:
		before := found(reply, 0)
		s.retire(ctx, before)
		return indexes(reply.Header.Revision, before), nil
	}
}

// indexes returns the indexes of a pair written at revision; before is the pair that
// it replaced, or nil when the key is new.
func indexes(revision int64, before *mvccpb.KeyValue) driver.Indexes {
	created := revision
	if before != nil {
		created = before.CreateRevision
	}
	return driver.Indexes{Created: uint64(created), Modified: uint64(revision)}
}

func (s *store) Delete(ctx context.Context, key string, c driver.Cond) (*kvdb.KVPair, error) {
	del := &pb.DeleteRangeRequest{Key: []byte(key), PrevKv: true}
	compares := compare(del.Key, c)
	if len(compares) == 0 {
		reply, err := write(ctx, s, func(ctx context.Context) (*pb.DeleteRangeResponse, error) {
			return s.kv.DeleteRange(ctx, del, s.callOpts...)
		})
		if err != nil {
			return nil, err
		}
		return s.deleted(ctx, reply, reply.Header.Revision)
	}
	reply, err := s.txn(ctx, &pb.TxnRequest{
		Compare: compares,
		Success: []*pb.RequestOp{deleteOp(del)},
		Failure: []*pb.RequestOp{get(del.Key, !c.HasValue)},
	})
	if err != nil {
		return nil, err
	}
	if !reply.Succeeded {
		return nil, failed(c, found(reply, 0))
	}
	return s.deleted(ctx, reply.Responses[0].GetResponseDeleteRange(), reply.Header.Revision)
}

func (s *store) deleted(ctx context.Context, reply *pb.DeleteRangeResponse, revision int64) (*kvdb.KVPair, error) {
	if len(reply.PrevKvs) == 0 {
		return nil, kvdb.ErrNotFound
	}
	s.retire(ctx, reply.PrevKvs[0])
	return pairOf(reply.PrevKvs[0], revision), nil
}

func (s *store) Compact(ctx context.Context, index uint64) error {
	_, err := read(ctx, s, func(ctx context.Context) (*pb.CompactionResponse, error) {
		return s.kv.Compact(ctx, &pb.CompactionRequest{Revision: int64(min(index, driver.NoIndex))}, s.callOpts...)
	})
	if errors.Is(err, kvdb.ErrWatchRevisionCompacted) {
		return nil // It is compacted already.
	}
	return err
}
