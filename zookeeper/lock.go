package zookeeper

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/retry"
)

// lockInfo is the value of a lock's znode. Earlier releases read LockerID alone.
type lockInfo struct {
	LockerIDInfo
	Mark string `json:",omitempty"` // unique; earlier releases write none
	Room bool   `json:",omitempty"` // asks the holder to move the lock to the queue
}

// parseLock returns the content of a lock's znode, and false if it is not that of a lock.
func parseLock(data []byte) (info lockInfo, ok bool) {
	err := json.Unmarshal(data, &info)
	return info, err == nil
}

// Lock implements driver.Store. When a connection or a session is lost it begins anew, until wait is
// over.
func (s *store) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	leave, err := s.life.Enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	deadline := time.Now().Add(max(wait, 0))
	again := retry.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	for last := false; ; {
		x, err := s.obtain(ctx, pathOf(key), owner, deadline)
		switch {
		case err == nil:
			return x, nil
		case ctx.Err() != nil || !errors.Is(err, kvdb.ErrNoConnection) && !errors.Is(err, kvdb.ErrUnknownOutcome):
			return nil, err
		case last || !errors.Is(err, errAttemptLost) && !time.Now().Before(deadline):
			return nil, err
		}
		last = !time.Now().Before(deadline) // once more, to find out who holds the lock
		if !last && again.Wait(ctx) != nil {
			return nil, err
		}
	}
}

// obtain makes one attempt of Lock. The attempt fails when the session or the connection is lost.
func (s *store) obtain(ctx context.Context, path, owner string, deadline time.Time) (*lease, error) {
	// The mark distinguishes this attempt from what an earlier one may have left.
	h := hold{path: path, mark: rand.Text()}
	var err error
	if h.value, err = json.Marshal(lockInfo{LockerIDInfo: LockerIDInfo{owner}, Mark: h.mark}); err != nil {
		return nil, err
	}
	for late := false; ; {
		err := s.takeKey(ctx, &h)
		switch {
		case errors.Is(err, zk.ErrNoChildrenForEphemerals):
			if err := s.awaitAbove(ctx, parent(h.path), deadline); err != nil {
				return nil, err
			}
			continue
		case errors.Is(err, zk.ErrNodeExists):
			free, err := s.awaitKey(ctx, h.path, deadline, late)
			if err != nil {
				return nil, err
			}
			late = true
			if free {
				continue
			}
			err = s.lockInQueue(ctx, &h, deadline)
			if errors.Is(err, errNoQueue) {
				continue
			}
			if err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		}
		if x := s.leases.add(h); x != nil {
			return x, nil
		}
		s.releaseStray(h) // the old session may still exist
		return nil, errAttemptLost
	}
}

// takeKey creates the lock's znode at the key, and its proof. It returns zk.ErrNodeExists if
// there is a znode at the key.
func (s *store) takeKey(ctx context.Context, h *hold) error {
	alone, err := s.createAtKey(ctx, h)
	if err != nil || alone {
		return err
	}
	if err := s.revokeOthers(ctx, *h); err != nil {
		s.releaseStray(*h)
		return err
	}
	return nil
}

// createAtKey creates the znodes of takeKey. It returns true if there is no other proof for the
// key.
func (s *store) createAtKey(ctx context.Context, h *hold) (alone bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	again := retry.Backoff{Min: 5 * time.Millisecond, Max: 500 * time.Millisecond}
	var last atomic.Pointer[sent] // a request that is abandoned may still be sent
	for {
		results, failed, err := s.multiFrom(ctx, func() { last.Store(s.leases.sending()) },
			&zk.CreateRequest{Path: h.path, Data: h.value, Acl: s.acl, Flags: zk.FlagEphemeral},
			&zk.SetDataRequest{Path: h.path, Data: h.value, Version: 0}, // see heldVersion
			&zk.CreateRequest{Path: h.proof(), Data: []byte{}, Acl: zk.WorldACL(zk.PermAll), Flags: zk.FlagEphemeral},
			&zk.SetDataRequest{Path: parent(h.proof()), Data: []byte{}, Version: -1}) // its result has the number of proofs
		switch {
		case err == nil:
			h.token, h.since = results[1].Stat.Czxid, *last.Load()
			return results[3].Stat.NumChildren == 1, nil
		case errors.Is(err, zk.ErrNoNode) && failed == 2:
			err = s.makeShared(ctx, parent(h.proof()))
		case errors.Is(err, zk.ErrNoNode):
			var made []string
			made, err = s.makeContainers(ctx, parent(h.path), s.acl)
			h.made = append(h.made, made...)
		case errors.Is(err, kvdb.ErrUnknownOutcome):
			// The session has another connection by now, so what was sent before has run, or
			// never will.
			created, findErr := s.findProof(ctx, h)
			switch {
			case findErr != nil:
				s.releaseStray(*h)
				return false, err
			case created:
				h.since = *last.Load()
				return false, nil
			}
			if err = again.Wait(ctx); err != nil {
				return false, driver.NotReached(ctx, nil)
			}
		}
		if err != nil {
			return false, err
		}
	}
}

// awaitKey returns true when there may be no znode at path. If there is a lock it waits for its
// release. It returns false for a znode that can have a queue. After a release the first request
// gets the lock. If late is true, a request of the caller came too late before, so awaitKey asks
// the holder to move the lock to a queue.
func (s *store) awaitKey(ctx context.Context, path string, deadline time.Time, late bool) (free bool, err error) {
	bound, cancel := bounded(ctx)
	defer cancel()
	stat, data, err := s.look(bound, path, late, false)
	switch {
	case err != nil:
		return false, err
	case stat == nil:
		return true, nil
	case !isEphemeral(stat):
		return false, nil
	}
	if late && time.Until(deadline) > 0 {
		err := s.askForRoom(ctx, &lockNode{path, stat, data})
		if err != nil && !errors.Is(err, zk.ErrNoAuth) {
			return false, err
		}
	}
	return true, s.awaitRelease(ctx, path, deadline)
}

// awaitAbove waits until a lock at path, or above it, allows children: it was released, or moved to
// its queue.
func (s *store) awaitAbove(ctx context.Context, path string, deadline time.Time) error {
	lock, err := s.lockAbove(ctx, path)
	if err != nil || lock == nil {
		return err
	}
	if !ofEarlierRelease(lock.stat) {
		if err := s.askForRoom(ctx, lock); err != nil {
			return err
		}
		if room := time.Now().Add(roomTimeout); room.After(deadline) {
			deadline = room
		}
	}
	return s.awaitRelease(ctx, lock.path, deadline)
}

// awaitRelease waits until there is no lock at path. It returns a *driver.HeldError at deadline.
func (s *store) awaitRelease(ctx context.Context, path string, deadline time.Time) error {
	if time.Until(deadline) > 0 {
		err := s.awaitNoLock(ctx, path, deadline)
		if err == nil || !errors.Is(err, errTooLate) {
			return err
		}
	}
	bound, cancel := bounded(ctx)
	defer cancel()
	stat, data, err := s.look(bound, path, true, true)
	switch {
	case err != nil:
		return err
	case stat == nil || !isEphemeral(stat):
		return nil // it was released meanwhile
	}
	info, ok := parseLock(data)
	if !ok {
		return kvdb.ErrInvalidLock
	}
	return &driver.HeldError{Owner: info.LockerID}
}

// awaitNoLock waits until the znode at path is not a lock. It returns errTooLate at deadline.
func (s *store) awaitNoLock(ctx context.Context, path string, deadline time.Time) error {
	w, err := s.hub.subscribe(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	err = w.awaitDeletion(ctx, path, deadline, func(_ []byte, stat *zk.Stat) bool { return !isEphemeral(stat) })
	if errors.Is(err, errChanged) {
		return nil
	}
	return err
}

// LockOwner implements driver.Store.
func (s *store) LockOwner(ctx context.Context, key string) (owner string, held bool, err error) {
	path := pathOf(key)
	for {
		var names []string
		var stat *zk.Stat
		var data []byte
		// The znode comes first, because a lock moves from the key to the queue, and not back.
		err := s.reader(!s.stale)(ctx, func(c *zk.Conn) (err error) {
			names = nil
			if data, stat, err = c.Get(path); errors.Is(err, zk.ErrNoNode) {
				stat = nil
				return nil
			}
			if err != nil || isEphemeral(stat) {
				return err
			}
			if names, _, err = c.Children(child(path, own)); errors.Is(err, zk.ErrNoNode) {
				return nil
			}
			return err
		})
		if err != nil {
			return "", false, err
		}
		if stat != nil && isEphemeral(stat) {
			info, ok := parseLock(data)
			if !ok {
				return "", false, kvdb.ErrInvalidLock
			}
			return info.LockerID, true, nil
		}
		queue := sortedEntries(names)
		if len(queue) == 0 {
			return "", false, nil
		}
		owner, held, err := s.ownerOf(ctx, child(child(path, own), queue[0]))
		if err != nil || held {
			return owner, held, err
		}
	}
}

// ownerOf returns the locker ID of an entry in a queue, and false when the entry is gone.
func (s *store) ownerOf(ctx context.Context, entry string) (owner string, found bool, err error) {
	stat, data, err := s.look(ctx, entry, true, false)
	if err != nil || stat == nil {
		return "", false, err
	}
	info, _ := parseLock(data)
	return info.LockerID, true, nil
}
