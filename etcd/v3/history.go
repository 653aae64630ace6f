package etcdv3

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/portworx/kvdb"
)

// history is what an instance knows about the history of its store, in order to
// notice when the store went back: it was restored from a backup or wiped, or
// another cluster is behind the endpoints.
//
// Each answer of etcd has the ID of the cluster, and the store's revision, which
// is not smaller than one that was known before a linearizable request was sent.
// A store that went back may have come as far again, under the same ID (which
// etcd derives from the members' addresses and the cluster's token). So when the
// watch stream had to be opened again, the instance also asks for the last write
// that it has seen. An instance that has seen no write, neither its own nor an
// event, cannot notice a store that went back and came as far again while the
// instance was not connected.
type history struct {
	back func() // called, without mu held, when the history went back

	mu    sync.Mutex // protects known
	known past
}

// past is what is known at one time.
type past struct {
	generation int    // how often the history went back
	cluster    uint64 // the ID, 0 for unknown
	revision   int64  // that the store has reached
	last       seen   // the last write that was seen
}

// seen is a write of a value. The zero value is none.
type seen struct {
	key      []byte
	revision int64
	value    uint64 // hash of it
}

var valueSeed = maphash.MakeSeed()

func seenWrite(key, value []byte, revision int64) seen {
	return seen{key, revision, maphash.Bytes(valueSeed, value)}
}

func (h *history) now() past {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known
}

// learn takes the header of an answer, and a write that it tells of. before is
// what was known when the request was sent; current says that the answer may not
// be older than that.
func (h *history) learn(before past, header *pb.ResponseHeader, current bool, write seen) {
	if header.GetClusterId() == 0 {
		return // a proxy's own: the revision is none that the store has reached
	}
	h.mu.Lock()
	if h.known.generation != before.generation {
		h.mu.Unlock()
		return
	}
	other := h.known.cluster != 0 && h.known.cluster != header.ClusterId
	if other || current && header.Revision < before.revision {
		h.known = past{generation: before.generation + 1, cluster: header.ClusterId, revision: header.Revision, last: write}
		h.mu.Unlock()
		h.back()
		return
	}
	h.known.cluster = header.ClusterId
	h.known.revision = max(h.known.revision, header.Revision)
	if write.revision > h.known.last.revision {
		h.known.last = write
	}
	h.mu.Unlock()
}

// wentBack ends the generation that was known before.
func (h *history) wentBack(before past) {
	h.mu.Lock()
	if h.known.generation != before.generation {
		h.mu.Unlock()
		return
	}
	h.known = past{generation: before.generation + 1}
	h.mu.Unlock()
	h.back()
}

// intercept is the interceptor that learns from each answer.
func (h *history) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	before := h.now()
	err := invoke(ctx, method, req, reply, cc, opts...)
	if answer, ok := reply.(interface{ GetHeader() *pb.ResponseHeader }); ok && err == nil {
		current, write := learnable(req, reply)
		h.learn(before, answer.GetHeader(), current, write)
	}
	if r, ok := req.(*pb.RangeRequest); ok && !r.Serializable && r.Revision <= before.revision &&
		errors.Is(rpctypes.Error(err), rpctypes.ErrFutureRev) {
		h.wentBack(before)
	}
	return err
}

// learnable reports whether the answer to a request is as new as the request, and
// which write it tells of.
func learnable(req, reply any) (current bool, write seen) {
	switch r := req.(type) {
	case *pb.RangeRequest:
		return !r.Serializable, seen{}
	case *pb.DeleteRangeRequest:
		return true, seen{}
	case *pb.PutRequest:
		return true, seenWrite(r.Key, r.Value, reply.(*pb.PutResponse).Header.Revision)
	case *pb.TxnRequest:
		answer := reply.(*pb.TxnResponse)
		if !answer.Succeeded {
			return false, seen{}
		}
		for _, op := range r.Success {
			if put := op.GetRequestPut(); put != nil {
				return true, seenWrite(put.Key, put.Value, answer.Header.Revision)
			}
		}
	}
	return false, seen{}
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

// verifyHistory asks the store for what it had when the instance last heard of it.
// An error says that there was no answer. When the store does not let the user
// read keys, or has compacted the revision, nothing more is known than before.
func (s *store) verifyHistory(ctx context.Context, keys keyRange) error {
	before := s.history.now()
	r := &pb.RangeRequest{Key: keys.key, RangeEnd: keys.end, CountOnly: true}
	if last := before.last; last.revision > 0 {
		r = &pb.RangeRequest{Key: last.key, Revision: last.revision}
	}
	reply, err := s.rangeOf(ctx, r)
	switch {
	case errors.Is(err, kvdb.ErrNoConnection), ctx.Err() != nil:
		return err
	case err != nil, r.CountOnly:
		return nil
	}
	for _, kv := range reply.Kvs {
		if write := seenWrite(kv.Key, kv.Value, kv.ModRevision); bytes.Equal(kv.Key, before.last.key) &&
			write.revision == before.last.revision && write.value == before.last.value {
			return nil
		}
	}
	s.history.wentBack(before)
	return nil
}
