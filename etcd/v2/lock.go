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
	// lostMargin is how long before the node can expire its lock is lost.
	lostMargin = time.Second
)

// lockNode is the value of the node that is a lock, in JSON. The tag is like no
// other: the value tells whose lock it is.
type lockNode struct {
	common.LockerIDInfo
	Tag string
}

// lockOwner returns who holds the lock that a value stands for, and false when it
// stands for none.
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

// tryLock makes one attempt to obtain a lock: the result is the lock, the node
// that is in its place with the store's index, or an error. The request may be
// sent again when its answer was lost, for the value reports whether it has run.
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
				// An earlier attempt has run: who knows when the node expires.
				sent, err = s.refresh(ctx, path, value)
			}
			if isGone(err) {
				continue // just now
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

// refresh moves the expiry of a lock's node on, and returns when the request was
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

// isGone reports whether an error says that a lock's node is not there, or is
// somebody else's.
func isGone(err error) bool { return isMissing(err) || codeOf(err) == client.ErrorCodeTestFailed }

// awaitUnlock waits until a lock is gone that was there at an index of g.
func (s *store) awaitUnlock(ctx context.Context, g *generation, path string, after uint64) error {
	err := s.pool.follow(ctx, g, path, false, after, math.MaxUint64, func(event *client.Response) (bool, error) { return !isEnd(event), nil })
	if isPast(err) { // it may be gone
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
