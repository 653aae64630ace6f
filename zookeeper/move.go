package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
)

// lockNode is the lock's znode at a key.
type lockNode struct {
	path string
	stat *zk.Stat
	data []byte
}

// lockAbove returns the lock at path or above it, or nil if there is none any more.
func (s *store) lockAbove(ctx context.Context, path string) (*lockNode, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for ; path != "/"; path = parent(path) {
		stat, data, err := s.look(ctx, path, true, true)
		switch {
		case err != nil:
			return nil, err
		case stat != nil && isEphemeral(stat):
			return &lockNode{path, stat, data}, nil
		case stat != nil:
			return nil, nil // An ephemeral znode has no children, so there is no lock above.
		}
	}
	return nil, nil
}

// roomTimeout bounds how long a holder may take to move its lock.
const roomTimeout = 5 * time.Second

// makeRoom makes the holder of the lock at path, or above it, move the lock to its queue,
// so that a key can be written at path.
func (s *store) makeRoom(ctx context.Context, path string) error {
	lock, err := s.lockAbove(ctx, path)
	if err != nil || lock == nil {
		return err
	}
	if ofEarlierRelease(lock.stat) {
		return errForeignLock(lock.path)
	}
	return s.moveAway(ctx, lock)
}

// moveAway asks the holder of a lock to move it to the queue, and waits until the lock was
// moved or released.
func (s *store) moveAway(ctx context.Context, lock *lockNode) error {
	if err := s.askForRoom(ctx, lock); err != nil {
		return err
	}
	err := s.awaitNoLock(ctx, lock.path, time.Now().Add(roomTimeout))
	if errors.Is(err, errTooLate) {
		return fmt.Errorf("%w: %s is a lock, and its holder has not made room for a key within %v", kvdb.ErrInvalidLock, lock.path, roomTimeout)
	}
	return err
}

// askForRoom asks the holder of a lock to move it to the queue, unless that was asked
// before. The holder takes any change of the znode's value for the request.
func (s *store) askForRoom(ctx context.Context, lock *lockNode) error {
	info, ok := parseLock(lock.data)
	if !ok || info.Mark == "" || info.Room {
		return nil
	}
	info.Room = true
	value, err := json.Marshal(info)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = s.repeat(ctx, func(c *zk.Conn) error {
		_, err := c.Multi(
			&zk.CheckVersionRequest{Path: hold{path: lock.path, mark: info.Mark}.proof(), Version: -1},
			&zk.SetDataRequest{Path: lock.path, Data: value, Version: lock.stat.Version})
		return err
	})
	if isConflict(err) {
		return nil // The lock was moved or released meanwhile.
	}
	return err
}

// moveToQueue moves the lock from the key to a queue below it, in one step. It returns
// zk.ErrNoNode when the lock is lost.
func (x *lease) moveToQueue(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	h, held := x.current()
	if !held || h.queueEntry != "" {
		return nil
	}
	s := x.s
	ctx, cancel := bounded(ctx)
	defer cancel()
	entry, err := s.move(ctx, h)
	h.queueEntry = entry
	switch {
	case h.queueEntry != "":
	case err == nil, errors.Is(err, kvdb.ErrUnknownOutcome):
		name, findErr := s.findQueueEntry(ctx, h.queue(), h.entryPrefix())
		switch {
		case findErr != nil:
			h.moving = true
			err = findErr
		case name != "":
			h.queueEntry, err = child(h.queue(), name), nil
		case err == nil:
			return zk.ErrNoNode
		}
	}
	if h.queueEntry != "" {
		h.moving, h.madeKey = false, true
	}
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	x.hold = h
	if _, held := s.leases.held[x]; !held && (h.queueEntry != "" || h.moving) {
		s.leases.discardLocked(h) // The loss has released the lock at the key, not that in the queue.
	}
	return err
}

// move sends the request of moveToQueue. It returns "" if the lock is not at the key.
func (s *store) move(ctx context.Context, h hold) (entry string, err error) {
	for {
		stat, _, err := s.look(ctx, h.path, false, true)
		if err != nil || !h.is(stat) {
			return "", err
		}
		results, _, err := s.multi(ctx,
			&zk.DeleteRequest{Path: h.proof(), Version: -1},
			&zk.DeleteRequest{Path: h.path, Version: stat.Version},
			&zk.CreateRequest{Path: h.path, Data: []byte{}, Acl: s.acl, Flags: zk.FlagPersistent},
			&zk.CreateRequest{Path: h.queue(), Data: []byte(madeKey), Acl: s.acl, Flags: zk.FlagPersistent},
			&zk.CreateRequest{Path: child(h.queue(), h.entryPrefix()), Data: h.value, Acl: s.acl, Flags: zk.FlagEphemeralSequential})
		switch {
		case err == nil:
			return results[4].String, nil
		case !errors.Is(err, zk.ErrBadVersion): // ErrBadVersion means that the znode was written meanwhile.
			return "", err
		}
	}
}

// madeKey is the value of a queue whose znode was made with the one at the key.
const madeKey = "made with the key's znode"
