package etcdv3

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/portworx/kvdb"
)

// watchLockAfter is how old a lock is when a watch on its key begins, which tells
// when somebody removes it by force. Each lock has its own: one on all locks of
// the domain would make each instance hear of those of all others. A lock that is
// released before costs no watch, which would be a third of the work for it.
const watchLockAfter = 50 * time.Millisecond

// lease is a lock that is held. It implements driver.Lease.
type lease struct {
	session  *session
	key      string // of the lock
	revision int64  // of its only write: the token
	lost     chan struct{}
	over     context.CancelFunc // ends the watch on the key

	mu        sync.Mutex // protects what is below
	state     state
	releasing bool // a release was sent whose answer has not come
	retrying  bool // in the background
}

type state int

const (
	held state = iota
	lost
	released
)

// newLease returns the lock that was obtained by the write at obtained.
func (s *store) newLease(se *session, key string, obtained start) *lease {
	l := &lease{session: se, key: key, revision: obtained.after, lost: make(chan struct{})}
	ctx, over := context.WithCancel(se.ctx)
	watching := time.AfterFunc(watchLockAfter, func() { s.launch(func() { l.watch(ctx, obtained) }) })
	l.over = func() { watching.Stop(); over() }
	se.add(l)
	return l
}

func (l *lease) Token() uint64 { return uint64(l.revision) }

func (l *lease) Lost() <-chan struct{} { return l.lost }

// is reports whether kv is the key of this lock; that of a nil lock never is.
func (l *lease) is(kv *mvccpb.KeyValue) bool { return l != nil && l.revision == kv.ModRevision }

func (l *lease) kv() *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(l.key), ModRevision: l.revision}
}

// lose closes Lost, if the lock is held.
func (l *lease) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(lost)
}

// leave ends the state held. The caller holds mu.
func (l *lease) leave(s state) {
	if l.state != held {
		return
	}
	l.state = s
	l.over()
	if s == lost {
		close(l.lost)
	}
}

// watch waits until the key changes, which is the end of the lock.
func (l *lease) watch(ctx context.Context, obtained start) {
	if !l.awaitEnd(ctx, obtained) {
		return // nobody will tell
	}
	l.mu.Lock()
	if l.releasing {
		l.leave(released)
	} else {
		l.leave(lost)
	}
	l.mu.Unlock()
	l.session.remove(l)
}

// awaitEnd waits until the key has changed; false when that will not be told.
func (l *lease) awaitEnd(ctx context.Context, from start) bool {
	s := l.session.s
	backoff := newBackoff()
	for {
		err := s.awaitChange(ctx, l.key, from)
		if !errors.Is(err, kvdb.ErrWatchRevisionCompacted) {
			return err == nil
		}
		// History does not tell: look, and watch from there.
		generation := s.history.now().generation
		reply, err := s.rangeOf(ctx, &pb.RangeRequest{Key: []byte(l.key)})
		switch {
		case errors.Is(err, kvdb.ErrNoConnection) && backoff.Wait(ctx) == nil: // and again
		case err != nil:
			return false
		case len(reply.Kvs) == 0 || !l.is(reply.Kvs[0]):
			return true
		default:
			from = start{after: reply.Header.Revision, generation: generation}
		}
	}
}

func (l *lease) Release(ctx context.Context) error {
	l.mu.Lock()
	again := l.releasing
	l.releasing = true
	state := l.state
	l.mu.Unlock()
	switch state {
	case lost:
		return kvdb.ErrInvalidLock
	case released:
		return nil
	}
	deleted, err := l.session.s.deleteLock(ctx, l.kv())
	if err != nil {
		if !errors.Is(err, kvdb.ErrUnknownOutcome) && !again {
			l.mu.Lock()
			l.releasing = false // this one has not run, and none before
			l.mu.Unlock()
		}
		l.releaseLater()
		return err
	}
	return l.settle(deleted || again)
}

// settle ends the lock after an answer: it was released, or was not held any
// more.
func (l *lease) settle(ours bool) error {
	l.session.remove(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(released)
	if l.state == lost || !ours {
		return kvdb.ErrInvalidLock
	}
	return nil
}

// releaseLater goes on to release the lock when the store cannot be reached:
// nobody is to be locked out by that.
func (l *lease) releaseLater() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retrying {
		return
	}
	l.retrying = true
	l.session.s.background(func(ctx context.Context) error {
		l.mu.Lock()
		over := l.state != held
		l.releasing = true
		l.mu.Unlock()
		if over {
			return nil
		}
		_, err := l.session.s.deleteLock(ctx, l.kv())
		if err == nil {
			// Whether this request or an earlier one did it does not matter here: the
			// caller has an error, and the lock is gone.
			_ = l.settle(true)
		}
		return err
	})
}
