package etcdv3

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/held"
	"github.com/portworx/kvdb/internal/retry"
)

// strayTime is how long a lock key is watched over after a request to lock had no
// answer: it may still be on the way.
const strayTime = time.Minute

func (s *store) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	waiting, cancel := driver.WithTimeLimit(ctx, wait)
	defer cancel()
	lockKey := s.lockKey(key)
	backoff := newBackoff()
	for {
		generation := s.history.now().generation
		l, holder, err := s.tryLock(ctx, lockKey, owner)
		switch {
		case l != nil:
			return l, nil
		case err != nil:
			isLost := errors.Is(err, kvdb.ErrNoConnection) || errors.Is(err, kvdb.ErrUnknownOutcome)
			if !isLost || ctx.Err() != nil || backoff.Wait(waiting) != nil {
				return nil, err
			}
			continue
		}
		if waiting.Err() == nil {
			_ = s.awaitChange(waiting, lockKey, start{after: holder.revision, generation: generation}) // whatever ends the wait: look
		}
		if ctx.Err() != nil {
			return nil, driver.WithCause(ctx, nil)
		}
		if waiting.Err() != nil {
			return nil, &driver.HeldError{Owner: holder.owner}
		}
	}
}

// holder is who holds a lock, as of a revision.
type holder struct {
	owner    string
	revision int64
}

// tryLock makes one attempt to obtain a lock: the result is the lock, its
// holder, or an error.
//
// The request may be sent again when its answer was lost: if it did run, the key
// is there under this instance's lease, and it is not the lock that the instance
// knew of before. Hence one attempt at a time for each key.
func (s *store) tryLock(ctx context.Context, lockKey, owner string) (*held.Lock, *holder, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.attempts.enter(ctx, lockKey); err != nil {
		return nil, nil, err
	}
	defer s.attempts.leave(lockKey)
	key := []byte(lockKey)
	for {
		generation := s.history.now().generation
		se, err := s.session(ctx)
		if err != nil {
			return nil, nil, err
		}
		known := se.locks.At(lockKey)
		r := &pb.TxnRequest{
			Compare: []*pb.Compare{createdAt(key, pb.Compare_EQUAL, 0)},
			Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{
				Key: key, Value: lockValue(owner), Lease: se.id,
			}}}},
			Failure: []*pb.RequestOp{get(key, false)},
		}
		unanswered := false // a request, which may still be on the way
		reply, err := read(ctx, s, func(ctx context.Context) (*pb.TxnResponse, error) {
			reply, err := s.kv.Txn(ctx, r, s.callOpts...)
			unanswered = unanswered || mayHaveRun(ctx, err)
			return reply, err
		})
		if unanswered {
			s.releaseStray(se, lockKey)
		}
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			se.expire()
			continue
		case err != nil:
			return nil, nil, err
		case reply.Succeeded:
			return s.newLock(se, lockKey, start{after: reply.Header.Revision, generation: generation}), nil, nil
		}
		kv := found(reply, 0)
		by, ok := lockOwner(kv.Value)
		switch {
		case !ok:
			return nil, nil, kvdb.ErrInvalidLock
		case kv.Lease != se.id || isKeyOf(kv, known):
			return nil, &holder{by, reply.Header.Revision}, nil
		case by == owner:
			return s.newLock(se, lockKey, start{after: kv.ModRevision, generation: generation}), nil, nil
		}
		// An attempt for another owner that was given up.
		if _, err := s.deleteLock(ctx, kv); err != nil {
			return nil, nil, err
		}
	}
}

// deleteLock deletes a lock's key unless it has changed.
func (s *store) deleteLock(ctx context.Context, kv *mvccpb.KeyValue) (deleted bool, err error) {
	reply, err := s.txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{modifiedAt(kv.Key, kv.ModRevision)},
		Success: []*pb.RequestOp{deleteOp(&pb.DeleteRangeRequest{Key: kv.Key})},
	})
	return err == nil && reply.Succeeded, err
}

// releaseStray makes sure that a request without an answer, which may arrive when the
// attempt was given up, or has obtained the lock by another request and released
// it, leaves no lock that nobody holds. (A later attempt of this instance takes
// such a lock over.)
func (s *store) releaseStray(se *session, lockKey string) {
	s.life.Go(func() {
		ctx, cancel := driver.WithTimeLimit(se.ctx, strayTime)
		defer cancel()
		backoff := retry.Backoff{Min: 100 * time.Millisecond, Max: 2 * time.Second}
		for backoff.Wait(ctx) == nil {
			// An error is a reason to try again, and the end of the lease is one to stop.
			_ = s.tryReleaseStray(ctx, se, lockKey)
		}
	})
}

// tryReleaseStray deletes a lock that is under the session's lease, and that nobody
// knows of.
func (s *store) tryReleaseStray(ctx context.Context, se *session, lockKey string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.attempts.enter(ctx, lockKey); err != nil {
		return err
	}
	defer s.attempts.leave(lockKey)
	known := se.locks.At(lockKey)
	reply, err := s.rangeOf(ctx, &pb.RangeRequest{Key: []byte(lockKey)})
	if err != nil {
		return err
	}
	if len(reply.Kvs) == 0 || reply.Kvs[0].Lease != se.id || isKeyOf(reply.Kvs[0], known) {
		return nil
	}
	_, err = s.deleteLock(ctx, reply.Kvs[0])
	return err
}

// awaitChange waits until somebody changes a key. An error says why that will not
// be told.
func (s *store) awaitChange(ctx context.Context, key string, from start) error {
	w := s.newWatch(ctx, keyRange{key: []byte(key)}, from)
	if w == nil {
		return kvdb.ErrClosed
	}
	defer w.Close()
	events, err := w.take()
	if len(events) > 0 {
		return nil
	}
	return err
}

func (s *store) LockOwner(ctx context.Context, key string) (string, bool, error) {
	reply, err := s.rangeOf(ctx, &pb.RangeRequest{Key: []byte(s.lockKey(key)), Serializable: s.stale})
	if err != nil || len(reply.Kvs) == 0 {
		return "", false, err
	}
	owner, ok := lockOwner(reply.Kvs[0].Value)
	if !ok {
		return "", false, kvdb.ErrInvalidLock
	}
	return owner, true, nil
}
