package etcdv3

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
)

// history is what an instance knows about the history of its store. It detects
// that the store went back: that it was restored from a backup or wiped, or that
// another cluster serves the endpoints.
//
// Each reply of etcd has the cluster's ID and the store's revision. The revision in
// the reply to a linearizable request is at least the one that was known when the
// request was sent.
//
// A store that went back may have reached the same revision again, under the same
// ID, because etcd derives the ID from the members' addresses and the cluster's
// token. So the instance also reads the last write that it has seen, when it opens a watch
// stream after another one, or after a connection that was made since the history was
// last verified. If it has seen none, neither its own nor an event nor a key that it has
// read, and was not connected meanwhile, it cannot detect this.
type history struct {
	onWentBack func()       // called without mu held
	made       atomic.Int64 // how many connections were made so far

	mu    sync.Mutex // protects known
	known past
}

// past is what an instance knows at one time.
type past struct {
	generation int    // how often the history went back
	cluster    uint64 // the ID, 0 for unknown
	revision   int64  // the largest that the store is known to have reached
	last       seen   // the last write
	made       int64  // how many connections were made at that time
	verified   int64  // how many connections were made when the history was last verified
}

// seen is a write of a value that the instance has seen. The zero value is none.
type seen struct {
	key      []byte
	revision int64
	value    uint64 // hash of the value
}

var valueSeed = maphash.MakeSeed()

func seenWrite(key, value []byte, revision int64) seen {
	return seen{key, revision, maphash.Bytes(valueSeed, value)}
}

func (h *history) now() past {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.known
	p.made = h.made.Load()
	return p
}

// isVerified reports whether no connection was made since the history was last verified.
// A server that was restored meanwhile has a new connection.
func (h *history) isVerified() bool {
	p := h.now()
	return p.verified == p.made
}

// verify records that the store has the history that was known at before.
func (h *history) verify(before past) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known.generation == before.generation {
		h.known.verified = max(h.known.verified, before.made)
	}
}

// learn evaluates the header of a reply, and a write that the reply confirms.
// before is what was known when the request was sent; current says that the reply
// must not be older than that.
func (h *history) learn(before past, header *pb.ResponseHeader, current bool, write seen) {
	if header.GetClusterId() == 0 {
		return // The header is a proxy's own; its revision is not the store's.
	}
	h.mu.Lock()
	if h.known.generation != before.generation {
		h.mu.Unlock()
		return
	}
	other := h.known.cluster != 0 && h.known.cluster != header.ClusterId
	if other || current && header.Revision < before.revision {
		h.known = past{
			generation: before.generation + 1, cluster: header.ClusterId, revision: header.Revision, last: write, verified: h.made.Load(),
		}
		h.mu.Unlock()
		h.onWentBack()
		return
	}
	if h.known.cluster == 0 {
		h.known.verified = h.made.Load() // nothing was known before
	}
	h.known.cluster = header.ClusterId
	h.known.revision = max(h.known.revision, header.Revision)
	if write.revision > h.known.last.revision {
		h.known.last = write
	}
	h.mu.Unlock()
}

// wentBack ends the generation of before and starts the next one.
func (h *history) wentBack(before past) {
	h.mu.Lock()
	if h.known.generation != before.generation {
		h.mu.Unlock()
		return
	}
	h.known = past{generation: before.generation + 1}
	h.mu.Unlock()
	h.onWentBack()
}

// intercept is a gRPC interceptor that passes each reply to learn.
func (h *history) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	before := h.now()
	err := invoke(ctx, method, req, reply, cc, opts...)
	if r, ok := reply.(interface{ GetHeader() *pb.ResponseHeader }); ok && err == nil {
		current, write := learnable(before, req, reply)
		h.learn(before, r.GetHeader(), current, write)
	}
	if r, ok := req.(*pb.RangeRequest); ok && !r.Serializable && r.Revision <= before.revision &&
		errors.Is(rpctypes.Error(err), rpctypes.ErrFutureRev) {
		h.wentBack(before)
	}
	return err
}

// learnable reports whether the reply must not be older than the request, and
// returns a write later than that of before that it confirms.
func learnable(before past, req, reply any) (current bool, write seen) {
	switch r := req.(type) {
	case *pb.RangeRequest:
		return !r.Serializable, foundWrite(before, reply.(*pb.RangeResponse), r.KeysOnly)
	case *pb.DeleteRangeRequest:
		return true, seen{}
	case *pb.PutRequest:
		return true, seenWrite(r.Key, r.Value, reply.(*pb.PutResponse).Header.Revision)
	case *pb.TxnRequest:
		txn := reply.(*pb.TxnResponse)
		if !txn.Succeeded {
			for i, op := range r.Failure {
				if get := op.GetRequestRange(); get != nil {
					return false, foundWrite(before, txn.Responses[i].GetResponseRange(), get.KeysOnly)
				}
			}
			return false, seen{}
		}
		for _, op := range r.Success {
			if put := op.GetRequestPut(); put != nil {
				return true, seenWrite(put.Key, put.Value, txn.Header.Revision)
			}
		}
	}
	return false, seen{}
}

// foundWrite returns the write of a key that was read, if it is later than that of before.
// It takes no time for a list, which would need more than the reading of one key.
func foundWrite(before past, reply *pb.RangeResponse, keysOnly bool) seen {
	if keysOnly || len(reply.GetKvs()) != 1 || reply.Kvs[0].ModRevision <= before.last.revision {
		return seen{}
	}
	kv := reply.Kvs[0]
	return seenWrite(kv.Key, kv.Value, kv.ModRevision)
}

// lastWrite returns the last write among events.
func lastWrite(events []*mvccpb.Event) seen {
	for i := len(events) - 1; i >= 0; i-- {
		if kv := events[i].Kv; events[i].Type == mvccpb.PUT {
			return seenWrite(kv.Key, kv.Value, kv.ModRevision)
		}
	}
	return seen{}
}

// verifyHistory reads the last write that the instance has seen, and calls wentBack
// when the store does not have it. If it has seen none, it counts keys, which shows a
// revision that is too small. It returns an error when the store does not
// reply. When the user may not read the keys, or the revision is compacted, it
// returns nil although nothing is verified.
func (s *store) verifyHistory(ctx context.Context, keys keyRange) error {
	before := s.history.now()
	r := &pb.RangeRequest{Key: keys.key, RangeEnd: keys.end, CountOnly: true}
	if last := before.last; last.revision > 0 {
		r = &pb.RangeRequest{Key: last.key, Revision: last.revision}
	} else if len(keys.key) == 0 {
		return errors.New("there is no key that the user is known to be allowed to read")
	}
	reply, err := s.rangeOf(ctx, r)
	switch {
	case errors.Is(err, kvdb.ErrNoConnection), ctx.Err() != nil:
		return err
	case err != nil, r.CountOnly:
		s.history.verify(before)
		return nil
	}
	for _, kv := range reply.Kvs {
		if write := seenWrite(kv.Key, kv.Value, kv.ModRevision); bytes.Equal(kv.Key, before.last.key) &&
			write.revision == before.last.revision && write.value == before.last.value {
			s.history.verify(before)
			return nil
		}
	}
	s.history.wentBack(before)
	return nil
}
