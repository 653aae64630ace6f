package etcdv3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/common"
	"github.com/portworx/kvdb/internal/retry"
)

const (
	sessionTTL = common.DefaultLockTTL * time.Second
	// lostMargin is how long before the lease can expire its locks are lost.
	lostMargin = time.Second
)

// session is the lease of all locks of an instance, kept alive. It begins with
// the first lock, and again when it was lost.
type session struct {
	s  *store
	id int64
	// ctx ends when the lease is lost, or the store is closed.
	ctx context.Context
	end context.CancelFunc
	// expiry is when the lease may expire, less the margin: counted from when the
	// last request to keep it alive was sent that was answered.
	expiry *time.Timer

	mu   sync.Mutex        // protects held
	held map[string]*lease // lock key → the lock there
}

// session returns the session, a new one when there is none.
func (s *store) session(ctx context.Context) (*session, error) {
	select {
	case s.sessionTurn <- struct{}{}:
		defer func() { <-s.sessionTurn }()
	case <-ctx.Done():
		return nil, driver.NotReached(ctx, errors.New("another call waits for the lease of the locks"))
	}
	if s.present != nil && s.present.ctx.Err() == nil {
		return s.present, nil
	}
	sent := time.Now()
	id, err := s.grant(ctx, sessionTTL, forHeld)
	if err != nil {
		return nil, err
	}
	se := &session{s: s, id: id, held: map[string]*lease{}}
	se.ctx, se.end = context.WithCancel(s.lifetime)
	se.expiry = time.AfterFunc(time.Until(sent.Add(sessionTTL-lostMargin)), se.expire)
	s.present = se
	if !s.launch(se.keepAlive) {
		se.expiry.Stop()
		return nil, kvdb.ErrClosed
	}
	return se, nil
}

// expire ends the session: its locks are lost.
func (se *session) expire() {
	se.end()
	se.mu.Lock()
	defer se.mu.Unlock()
	for _, l := range se.held {
		l.lose()
	}
}

// release ends the session: its locks are lost, and then released, until ctx ends.
// A session without locks is not worth the wait.
func (se *session) release(ctx context.Context) error {
	se.expire()
	se.mu.Lock()
	var locked []string
	for key := range se.held {
		locked = append(locked, key[len(se.s.locks):])
	}
	se.mu.Unlock()
	if len(locked) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = driver.WithTimeLimit(ctx, revokeTimeout)
		defer cancel()
	}
	_, err := se.s.revoke(ctx, se.id)
	if err == nil || errors.Is(err, rpctypes.ErrLeaseNotFound) || len(locked) == 0 {
		return nil
	}
	slices.Sort(locked)
	return fmt.Errorf("not released, so held for up to %v: the locks %q: %w", sessionTTL, locked, err)
}

var errLeaseGone = errors.New("the lease is gone")

// keepAlive keeps the lease alive until the session ends.
func (se *session) keepAlive() {
	defer se.expire()
	defer se.expiry.Stop()
	backoff := retry.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
	for {
		renewed, err := se.renew()
		if errors.Is(err, errLeaseGone) {
			return
		}
		if renewed {
			backoff.Reset()
		}
		if backoff.Wait(se.ctx) != nil {
			return
		}
	}
}

// renew keeps the lease alive over one gRPC stream, until that fails. A member
// that does not answer soon is given up, for another one may.
func (se *session) renew() (renewed bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(se.ctx))
	defer cancel()
	silent := time.AfterFunc(attemptTimeout, cancel)
	defer silent.Stop()
	stream, err := se.s.lease.LeaseKeepAlive(ctx, se.s.callOpts...)
	if err != nil {
		return false, err
	}
	tick := time.NewTicker(common.DefaultLockRefreshDuration)
	defer tick.Stop()
	for {
		sent := time.Now()
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: se.id}); err != nil {
			return renewed, err
		}
		reply, err := stream.Recv()
		switch {
		case err != nil:
			return renewed, err
		case reply.ID != se.id:
			return renewed, errors.New("etcd has kept another lease alive than was asked for")
		case reply.TTL <= 0:
			return renewed, errLeaseGone
		}
		silent.Stop()
		renewed = true
		ttl := min(time.Duration(reply.TTL)*time.Second, sessionTTL)
		if se.expiry.Stop() {
			se.expiry.Reset(time.Until(sent.Add(ttl - lostMargin)))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return renewed, ctx.Err()
		}
		silent.Reset(attemptTimeout)
	}
}

// lockAt returns the lock that the session holds at a lock key, or nil.
func (se *session) lockAt(key string) *lease {
	se.mu.Lock()
	defer se.mu.Unlock()
	return se.held[key]
}

// add makes a lock the session's; it is lost when the session has ended.
func (se *session) add(l *lease) {
	se.mu.Lock()
	defer se.mu.Unlock()
	se.held[l.key] = l
	if se.ctx.Err() != nil {
		l.lose()
	}
}

func (se *session) remove(l *lease) {
	se.mu.Lock()
	defer se.mu.Unlock()
	if se.held[l.key] == l {
		delete(se.held, l.key)
	}
}
