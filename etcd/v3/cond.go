package etcdv3

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// createdAt compares the key's create revision, which is 0 for a missing key.
func createdAt(key []byte, result pb.Compare_CompareResult, revision int64) *pb.Compare {
	return &pb.Compare{
		Key: key, Result: result, Target: pb.Compare_CREATE,
		TargetUnion: &pb.Compare_CreateRevision{CreateRevision: revision},
	}
}

// modifiedAt holds when the last write of the key was at revision. Revision 0 holds
// for a missing key.
func modifiedAt(key []byte, revision int64) *pb.Compare {
	return &pb.Compare{
		Key: key, Result: pb.Compare_EQUAL, Target: pb.Compare_MOD,
		TargetUnion: &pb.Compare_ModRevision{ModRevision: revision},
	}
}

// compare returns the condition as etcd's comparisons.
func compare(key []byte, c driver.Cond) []*pb.Compare {
	var compares []*pb.Compare
	if c.NeedsNoKey() {
		compares = append(compares, createdAt(key, pb.Compare_EQUAL, 0))
	}
	if c.Modified != 0 {
		compares = append(compares, modifiedAt(key, int64(c.Modified)))
	}
	if c.Created != 0 {
		compares = append(compares, createdAt(key, pb.Compare_EQUAL, int64(c.Created)))
	}
	if c.HasValue {
		compares = append(compares, &pb.Compare{
			Key: key, Result: pb.Compare_EQUAL, Target: pb.Compare_VALUE,
			TargetUnion: &pb.Compare_Value{Value: c.Value},
		})
	}
	if c.Present && (len(compares) == 0 || c.NeedsNoKey()) {
		compares = append(compares, createdAt(key, pb.Compare_GREATER, 0))
	}
	return compares
}

// failed returns the error of a condition that does not hold. kv is the key as it
// was in that step, or nil when it was missing.
func failed(c driver.Cond, kv *mvccpb.KeyValue) error {
	var err error
	if kv == nil {
		err = c.CheckMissing()
	} else {
		err = c.Check(uint64(kv.CreateRevision), uint64(kv.ModRevision), kv.Value)
	}
	if err == nil {
		// The conditions exclude each other, so no key can meet them.
		err = kvdb.ErrModified
	}
	return err
}

func get(key []byte, keysOnly bool) *pb.RequestOp {
	return rangeOp(&pb.RangeRequest{Key: key, KeysOnly: keysOnly})
}

func rangeOp(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func deleteOp(r *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

// found returns the key that the i-th operation of a transaction has read, or nil.
func found(reply *pb.TxnResponse, i int) *mvccpb.KeyValue {
	if kvs := reply.Responses[i].GetResponseRange().GetKvs(); len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}
