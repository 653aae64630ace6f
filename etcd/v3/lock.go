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

// strayTime is how long stray locks at a key are removed after a request to lock got no
// answer, because the request may still arrive.
const strayTime = time.Minute

// Lock implements driver.Store.
func (s *store) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	waiting, cancel := driver.WithTimeLimit(ctx, wait)
	defer cancel()
	lockKey := s.lockKey(key)
	backoff := newBackoff()
	for {
		looked := s.history.now()
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
			// Try again, whatever has ended the wait.
			if s.awaitChange(waiting, lockKey, startAfter(holder.revision, looked)) != nil {
				_ = backoff.Wait(waiting)
			}
		}
		if ctx.Err() != nil {
			return nil, driver.WithCause(ctx, nil)
		}
		if waiting.Err() != nil {
			return nil, &driver.HeldError{Owner: holder.owner}
		}
	}
}

// holder is the holder of a lock at a revision.
type holder struct {
	owner    string
	revision int64
}

// tryLock makes one attempt to obtain a lock. It returns the lock, its holder, or an
// error.
//
// The request may be sent again when its answer was lost. If it has run, the key exists
// under this instance's lease and is not the lock that the instance knew before. That
// holds because there is one attempt at a time for each key.
func (s *store) tryLock(ctx context.Context, lockKey, owner string) (*held.Lock, *holder, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, driver.CallTimeout)
	defer cancel()
	if err := s.attempts.enter(ctx, lockKey); err != nil {
		return nil, nil, err
	}
	defer s.attempts.leave(lockKey)
	key := []byte(lockKey)
	for {
		looked := s.history.now()
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
		unanswered := false // whether a request may still arrive
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
			return s.newLock(se, lockKey, startAfter(reply.Header.Revision, looked)), nil, nil
		}
		kv := found(reply, 0)
		by, ok := lockOwner(kv.Value)
		switch {
		case !ok:
			return nil, nil, kvdb.ErrInvalidLock
		case kv.Lease != se.id || isKeyOf(kv, known):
			return nil, &holder{by, reply.Header.Revision}, nil
		case by == owner:
			return s.newLock(se, lockKey, startAfter(kv.ModRevision, looked)), nil, nil
		}
		// The lock of an earlier attempt of this instance, for another owner, that was given up.
		if _, err := s.deleteLock(ctx, kv); err != nil {
			return nil, nil, err
		}
	}
}

// deleteLock deletes the key of a lock unless the key has changed.
func (s *store) deleteLock(ctx context.Context, kv *mvccpb.KeyValue) (deleted bool, err error) {
	reply, err := s.txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{modifiedAt(kv.Key, kv.ModRevision)},
		Success: []*pb.RequestOp{deleteOp(&pb.DeleteRangeRequest{Key: kv.Key})},
	})
	return err == nil && reply.Succeeded, err
}

// releaseStray removes stray locks at a key for strayTime. A request without an answer
// leaves one when it arrives after its attempt was given up, or after the attempt has
// obtained the lock by another request and released it. (A later attempt of this
// instance takes over such a lock.)
func (s *store) releaseStray(se *session, lockKey string) {
	s.life.Go(func() {
		ctx, cancel := driver.WithTimeLimit(se.ctx, strayTime)
		defer cancel()
		backoff := retry.Backoff{Min: 100 * time.Millisecond, Max: 2 * time.Second}
		for backoff.Wait(ctx) == nil {
			// After an error it tries again. The end of the lease ends ctx.
			_ = s.tryReleaseStray(ctx, se, lockKey)
		}
	})
}

// tryReleaseStray deletes the lock at a key if it is under the session's lease and no
// attempt of this instance has returned it.
func (s *store) tryReleaseStray(ctx context.Context, se *session, lockKey string) error {
	ctx, cancel := driver.WithTimeLimit(ctx, driver.CallTimeout)
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

// startAfter returns the start of a wait for changes of a key that was looked at. looked is
// what was known before the look. The look is repeated if the server may have been restored
// since, because the change may then be one that the watch does not show.
func startAfter(revision int64, looked past) start {
	return start{after: revision, generation: looked.generation, once: true, made: looked.made}
}

// awaitChange returns nil when a client has changed the key, or an error when that can
// no longer be observed: errInterrupted if the key has to be looked at again.
func (s *store) awaitChange(ctx context.Context, key string, from start) error {
	w := s.newWatch(ctx, keyRange{key: []byte(key)}, from, nil)
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

// LockOwner implements driver.Store.
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
