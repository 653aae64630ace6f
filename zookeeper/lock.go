package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
)

// Lock implements driver.Store.
func (s *store) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	value, err := json.Marshal(LockerIDInfo{owner})
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(max(wait, 0))
	path := pathOf(key)
	var p place
	for last := false; ; {
		if p, err = s.enqueue(ctx, path, value, deadline); err != nil {
			return nil, err
		}
		if err = s.awaitTurn(ctx, &p, deadline); err == nil {
			break
		}
		if errors.Is(err, errPlaceLost) && !last {
			last = !time.Now().Before(deadline) // it tells who holds the lock, at least
			continue
		}
		s.leave(func() { s.discard(p.path) })
		return nil, err
	}
	watch, endWatch := context.WithCancel(s.lifetime)
	x := &lease{s: s, path: p.path, token: uint64(p.czxid), lost: make(chan struct{}), endWatch: endWatch}
	s.leases.add(x)
	s.leases.alive(p.asked)
	if s.lifetime.Err() != nil {
		s.leases.lose(x)
	}
	s.launch(func() { s.watchLease(watch, x) })
	return x, nil
}

// heldBy returns the error of a lock that is not obtained.
func (s *store) heldBy(ctx context.Context, path string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, data, err := s.look(ctx, path, true, false)
	if err != nil {
		return err
	}
	owner, _ := ownerOf(data)
	return &driver.HeldError{Owner: owner}
}

// ownerOf returns the locker ID in the value of a lock.
func ownerOf(data []byte) (string, bool) {
	var info LockerIDInfo
	err := json.Unmarshal(data, &info)
	return info.LockerID, err == nil
}

// awaitForeign waits until another release of this library frees its lock at
// path, or above it.
func (s *store) awaitForeign(ctx context.Context, path string, deadline time.Time) error {
	path, err := s.foreignLock(ctx, path)
	if err != nil || path == "" {
		return err
	}
	late := time.Until(deadline) <= 0
	if !late {
		w, err := s.hub.subscribe(ctx)
		if err != nil {
			return err
		}
		defer w.close()
		err = w.awaitDeletion(ctx, path, deadline)
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
		return nil // it has just been freed
	}
	owner, ok := ownerOf(data)
	if !ok {
		return kvdb.ErrInvalidLock
	}
	return &driver.HeldError{Owner: owner}
}

// foreignLock returns the path of the lock of another release at path, or above
// it; "" when there is none any more.
func (s *store) foreignLock(ctx context.Context, path string) (string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for ; path != "/"; path = parent(path) {
		stat, _, err := s.look(ctx, path, false, true)
		switch {
		case err != nil:
			return "", err
		case stat != nil && isEphemeral(stat):
			return path, nil
		case stat != nil:
			return "", nil // nor is there one above: it would have no children
		}
	}
	return "", nil
}

// watchLease loses a lease when somebody deletes its znode.
func (s *store) watchLease(ctx context.Context, x *lease) {
	for ctx.Err() == nil {
		w, err := s.hub.subscribe(ctx)
		if err != nil {
			return
		}
		err = w.awaitDeletion(ctx, x.path, time.Time{})
		w.close()
		switch {
		case err == nil:
			s.leases.lose(x)
			return
		case errors.Is(err, zk.ErrNoAuth): // somebody has changed its ACL
			return
		}
	}
}

// LockOwner implements driver.Store.
func (s *store) LockOwner(ctx context.Context, key string) (owner string, held bool, err error) {
	path := pathOf(key)
	for {
		var names []string
		var stat *zk.Stat
		var data []byte
		err := s.read(ctx, func(c *zk.Conn) (err error) {
			if names, _, err = c.Children(child(path, own)); !errors.Is(err, zk.ErrNoNode) {
				return err
			}
			names = nil
			data, stat, err = c.Get(path)
			if errors.Is(err, zk.ErrNoNode) {
				return nil
			}
			return err
		})
		if err != nil {
			return "", false, err
		}
		if stat != nil && isEphemeral(stat) {
			owner, ok := ownerOf(data)
			if !ok {
				return "", false, kvdb.ErrInvalidLock
			}
			return owner, true, nil
		}
		queue := waiting(names)
		if len(queue) == 0 {
			return "", false, nil
		}
		first, data, err := s.look(ctx, child(child(path, own), queue[0]), true, false)
		if err != nil {
			return "", false, err
		}
		if first != nil {
			owner, _ := ownerOf(data)
			return owner, true, nil
		}
	}
}
