package etcdv3

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/held"
)

// watchLockAfter is how old a lock is when a watch on its key begins. The watch shows
// when the lock is removed by force. Each lock has a watch of its own, because a watch
// on all locks of the domain would get the events of the locks of all instances. A lock
// that is released earlier needs no watch, which would be a third of its cost.
const watchLockAfter = 50 * time.Millisecond

// newLock returns the lock that the write at obtained has created. The revision of that
// write is the token, because a lock's key is written only once.
func (s *store) newLock(se *session, key string, obtained start) *held.Lock {
	kv := &mvccpb.KeyValue{Key: []byte(key), ModRevision: obtained.after}
	l := se.locks.Add(key, uint64(obtained.after), func(ctx context.Context) (bool, error) { return s.deleteLock(ctx, kv) })
	if se.ctx.Err() != nil {
		l.Lose()
	}
	time.AfterFunc(watchLockAfter, func() {
		if l.Context().Err() == nil {
			s.life.Go(func() { s.watchLock(l, key, obtained) })
		}
	})
	return l
}

// isKeyOf reports whether kv is the key of the lock l. It is false for a nil lock.
func isKeyOf(kv *mvccpb.KeyValue, l *held.Lock) bool {
	return l != nil && l.Token() == uint64(kv.ModRevision)
}

// watchLock waits until the key of a lock changes, and ends the lock then.
func (s *store) watchLock(l *held.Lock, key string, from start) {
	ctx, backoff := l.Context(), newBackoff()
	for {
		err := s.awaitChange(ctx, key, from)
		if err == nil {
			l.Gone()
		}
		if !errors.Is(err, kvdb.ErrWatchRevisionCompacted) && !errors.Is(err, errInterrupted) {
			return
		}
		// The watch may not show it: read the key, and watch from there.
		looked := s.history.now()
		reply, err := s.rangeOf(ctx, &pb.RangeRequest{Key: []byte(key)})
		switch {
		case errors.Is(err, kvdb.ErrNoConnection) && backoff.Wait(ctx) == nil: // Try again.
		case err != nil:
			return
		case len(reply.Kvs) == 0 || !isKeyOf(reply.Kvs[0], l):
			l.Gone()
			return
		default:
			from = startAfter(reply.Header.Revision, looked)
		}
	}
}
