package etcdv2

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/common"
	"github.com/portworx/kvdb/internal/held"
	"github.com/portworx/kvdb/internal/option"
)

// lockTTLs are from 10 s on, because a lock must survive that one member does not answer and
// another one is tried, or that the members elect a leader.
var lockTTLs = option.LockTTLs{Least: 10, Most: 24 * 60 * 60, Otherwise: common.DefaultLockTTL}

// lockTimes are the times of a lock's node without the option kvdb.LockTTLKey.
var lockTimes = held.Times{TTL: common.DefaultLockTTL * time.Second, Margin: time.Second, Every: common.DefaultLockRefreshDuration}

// lockNode is the value, in JSON, of the node that is a lock. Each request for a lock has a
// unique tag, so the value identifies the lock.
type lockNode struct {
	common.LockerIDInfo
	Tag string
}

// lockOwner returns the owner in the value of a lock's node, and false if the value is not
// that of a lock.
func lockOwner(value string) (string, bool) {
	var node struct{ LockerID *string }
	if json.Unmarshal([]byte(value), &node) != nil || node.LockerID == nil {
		return "", false
	}
	return *node.LockerID, true
}

// Lock implements driver.Store.
func (s *store) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	leave, err := s.life.Enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	waiting, cancel := driver.WithTimeLimit(ctx, wait)
	defer cancel()
	value, err := json.Marshal(lockNode{common.LockerIDInfo{LockerID: owner}, rand.Text()})
	if err != nil {
		return nil, err
	}
	path := lockPath(key)
	backoff := newBackoff()
	for {
		l, other, err := s.tryLock(ctx, path, string(value))
		if err != nil {
			if errors.Is(err, kvdb.ErrNoConnection) && backoff.Wait(waiting) == nil {
				continue
			}
			s.locks.ReleaseStray(lockedKey(path), s.removal(path, string(value)))
			return nil, ended(ctx, err)
		}
		if l != nil {
			return l, nil
		}
		holder, ok := lockOwner(other.node.Value)
		if !ok {
			return nil, kvdb.ErrInvalidLock
		}
		if waiting.Err() == nil {
			err = s.awaitUnlock(waiting, path, other)
		}
		switch {
		case ctx.Err() != nil:
			return nil, driver.WithCause(ctx, nil)
		case waiting.Err() != nil:
			return nil, &driver.HeldError{Owner: holder}
		case err == nil:
			backoff.Reset()
		case !errors.Is(err, kvdb.ErrNoConnection):
			return nil, err
		default:
			// If waiting ends, the next attempt is the last one.
			_ = backoff.Wait(waiting)
		}
	}
}

// otherLock is a lock that tryLock has found.
type otherLock struct {
	node  *client.Node
	index uint64 // of the store
	seen  sight  // before the request that has shown it
}

// tryLock makes one attempt to obtain a lock. It returns the lock, or another one that was
// there, or an error. If the answer is lost, the request may be sent again, because the
// node's value shows whether it has run.
func (s *store) tryLock(ctx context.Context, path, value string) (*lease, *otherLock, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, driver.CallTimeout)
	defer cancel()
	for {
		sent, seen := time.Now(), s.pool.history.sight()
		reply, err := s.pool.keys(ctx, repeatable, func(ctx context.Context, keys client.KeysAPI) (*client.Response, error) {
			return keys.Set(ctx, path, value, &client.SetOptions{PrevExist: client.PrevNoExist, TTL: s.times.TTL})
		})
		if codeOf(err) == client.ErrorCodeNodeExist {
			seen = s.pool.history.sight()
			reply, err = s.get(ctx, path, client.GetOptions{Quorum: true})
			if err == nil && reply.Node.Value == value {
				// An earlier attempt has run. Its time is not known, so refresh the node's
				// TTL.
				sent, err = s.refresh(ctx, path, value)
			}
			if isGone(err) {
				continue // the node was removed meanwhile
			}
		}
		switch {
		case err != nil:
			return nil, nil, err
		case reply.Node.Value == value:
			return s.newLease(path, value, reply.Node.CreatedIndex, sent), nil, nil
		}
		return nil, &otherLock{reply.Node, reply.Index, seen}, nil
	}
}

// refresh renews the TTL of a lock's node, and returns the time at which the request was
// sent.
func (s *store) refresh(ctx context.Context, path, value string) (sent time.Time, err error) {
	sent = time.Now()
	_, err = s.pool.keys(ctx, repeatable, func(ctx context.Context, keys client.KeysAPI) (*client.Response, error) {
		return keys.Set(ctx, path, "", &client.SetOptions{
			PrevExist: client.PrevExist, PrevValue: value, TTL: s.times.TTL, Refresh: true,
		})
	})
	return sent, err
}

// isGone reports whether an error says that a lock's node does not exist, or is that of
// another lock.
func isGone(err error) bool { return isMissing(err) || codeOf(err) == client.ErrorCodeTestFailed }

// awaitUnlock waits until a lock is gone, or may be gone. It returns an error when a
// connection was lost since the lock was seen, because only another look at it shows what the
// store has then.
func (s *store) awaitUnlock(ctx context.Context, path string, l *otherLock) error {
	ctx, cancel := l.seen.in.bind(ctx)
	defer cancel()
	for after := l.index; ; {
		event, _, err := s.pool.Current().longPoll(ctx, nil).next(ctx, path, false, after, s.pool.notDoubtedSince(l.seen))
		switch {
		case isPast(err): // the events are not available
			return nil
		case err != nil:
			return err
		case isEnd(event):
			return nil
		}
		after = event.Node.ModifiedIndex
	}
}

// LockOwner implements driver.Store.
func (s *store) LockOwner(ctx context.Context, key string) (string, bool, error) {
	reply, err := s.get(ctx, lockPath(key), client.GetOptions{Quorum: !s.stale})
	if isMissing(err) {
		return "", false, nil
	} else if err != nil {
		return "", false, err
	}
	owner, ok := lockOwner(reply.Node.Value)
	if !ok {
		return "", false, kvdb.ErrInvalidLock
	}
	return owner, true, nil
}
