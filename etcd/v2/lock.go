package etcdv2

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"math"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/etcd/common"
)

const (
	lockTTL = common.DefaultLockTTL * time.Second
	// lostMargin is the time before the earliest expiry of the node at which its lock is
	// lost.
	lostMargin = time.Second
)

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
		g, _ := s.pool.history.now()
		l, node, index, err := s.tryLock(ctx, path, string(value))
		if err != nil {
			if errors.Is(err, kvdb.ErrNoConnection) && backoff.Wait(waiting) == nil {
				continue
			}
			s.locks.ReleaseStray(lockedKey(path), s.removal(path, string(value)))
			return nil, ended(ctx, err)
		}
		backoff.Reset()
		if l != nil {
			return l, nil
		}
		holder, ok := lockOwner(node.Value)
		if !ok {
			return nil, kvdb.ErrInvalidLock
		}
		if waiting.Err() == nil {
			err = s.awaitUnlock(waiting, g, path, index)
		}
		switch {
		case ctx.Err() != nil:
			return nil, driver.WithCause(ctx, nil)
		case waiting.Err() != nil:
			return nil, &driver.HeldError{Owner: holder}
		case err != nil && !errors.Is(err, kvdb.ErrNoConnection):
			return nil, err
		}
	}
}

// tryLock makes one attempt to obtain a lock. It returns the lock, or the node of another
// lock with the store's index, or an error. If the answer is lost, the request may be sent
// again, because the node's value shows whether it has run.
func (s *store) tryLock(ctx context.Context, path, value string) (*lease, *client.Node, uint64, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, driver.CallTimeout)
	defer cancel()
	for {
		sent := time.Now()
		reply, err := s.pool.keys(ctx, repeatable, func(ctx context.Context, keys client.KeysAPI) (*client.Response, error) {
			return keys.Set(ctx, path, value, &client.SetOptions{PrevExist: client.PrevNoExist, TTL: lockTTL})
		})
		if codeOf(err) == client.ErrorCodeNodeExist {
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
			return nil, nil, 0, err
		case reply.Node.Value == value:
			return s.newLease(path, value, reply.Node.CreatedIndex, sent), nil, 0, nil
		}
		return nil, reply.Node, reply.Index, nil
	}
}

// refresh renews the TTL of a lock's node, and returns the time at which the request was
// sent.
func (s *store) refresh(ctx context.Context, path, value string) (sent time.Time, err error) {
	sent = time.Now()
	_, err = s.pool.keys(ctx, repeatable, func(ctx context.Context, keys client.KeysAPI) (*client.Response, error) {
		return keys.Set(ctx, path, "", &client.SetOptions{
			PrevExist: client.PrevExist, PrevValue: value, TTL: lockTTL, Refresh: true,
		})
	})
	return sent, err
}

// isGone reports whether an error says that a lock's node does not exist, or is that of
// another lock.
func isGone(err error) bool { return isMissing(err) || codeOf(err) == client.ErrorCodeTestFailed }

// awaitUnlock waits until the lock that existed at the index after of generation g is gone.
func (s *store) awaitUnlock(ctx context.Context, g *generation, path string, after uint64) error {
	err := s.pool.follow(ctx, g, path, false, after, math.MaxUint64, func(event *client.Response) (bool, error) { return !isEnd(event), nil })
	if isPast(err) { // the events are not available, so the lock may be gone
		return nil
	}
	return err
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
