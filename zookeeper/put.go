package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Put implements driver.Store.
func (s *store) Put(ctx context.Context, w driver.Write) (driver.Indexes, error) {
	if err := s.checkValue(w.Key, w.Value); err != nil {
		return driver.Indexes{}, err
	}
	path := pathOf(w.Key)
	switch {
	case w.Cond.NeedsKey():
		return s.update(ctx, path, w)
	case w.Cond.NeedsNoKey():
		return s.create(ctx, path, w)
	}
	for {
		indexes, err := s.set(ctx, path, w.Value)
		if !errors.Is(err, zk.ErrNoNode) {
			return indexes, err
		}
		if indexes, err = s.createZnode(ctx, path, w.Value); !errors.Is(err, zk.ErrNodeExists) {
			return indexes, err
		}
	}
}

// set writes to a znode, whatever it holds. It returns zk.ErrNoNode if there is none.
func (s *store) set(ctx context.Context, path string, value []byte) (driver.Indexes, error) {
	if _, known := s.sentinels.get(path); known {
		results, failed, err := s.multi(ctx,
			&zk.SetDataRequest{Path: path, Data: value, Version: -1},
			&zk.CheckVersionRequest{Path: sentinelPath(path), Version: -1})
		if err == nil {
			return indexesOf(results[0].Stat), nil
		}
		if failed < 0 {
			return driver.Indexes{}, err
		}
		s.sentinels.remove(path)
	}
	stat, err := s.setData(ctx, path, value, -1)
	switch {
	case err != nil:
		return driver.Indexes{}, err
	case isEphemeral(stat):
		return driver.Indexes{}, s.lockOverwritten(ctx, path, stat)
	case maybeContainer(stat):
		if err = s.makeSentinel(ctx, path); err != nil {
			// The value is written but may not stay, so kvdb.ErrNoConnection, which means that
			// nothing was written, must not be in the error. If the key is gone already, the
			// server may have removed it with the container. Or somebody has deleted it, and
			// must not find it written again.
			err = fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, driver.WithCause(ctx, errors.New(err.Error())))
		}
	}
	return indexesOf(stat), err
}

// setData writes to a znode that has that version.
func (s *store) setData(ctx context.Context, path string, value []byte, version int32) (stat *zk.Stat, err error) {
	var answer *zk.Stat
	err = s.write(ctx, func(c *zk.Conn) (err error) {
		answer, err = c.Set(path, value, version)
		return err
	})
	if err != nil {
		return nil, err // the request may still write answer
	}
	return answer, nil
}

// lockOverwritten is called after a write has replaced the value of a lock's znode, which makes
// the holder move the lock away. It returns zk.ErrNoNode when the lock is no longer there.
func (s *store) lockOverwritten(ctx context.Context, path string, stat *zk.Stat) error {
	if stat.Version == heldVersion { // it was less before
		return errForeignLock(path)
	}
	if err := s.moveAway(ctx, &lockNode{path: path}); err != nil {
		return err
	}
	return zk.ErrNoNode
}

// errForeignLock returns the error of a key that is the lock of an earlier release.
func errForeignLock(path string) error {
	return fmt.Errorf("%w: %s is a lock that a program with an earlier release of this library holds", kvdb.ErrInvalidLock, path)
}

// createZnode creates a key's znode with its value. It returns zk.ErrNodeExists if there is one.
func (s *store) createZnode(ctx context.Context, path string, value []byte) (driver.Indexes, error) {
	for {
		results, _, err := s.multi(ctx, s.createOps(path, value)...)
		if err == nil {
			return indexesOf(results[1].Stat), nil
		}
		if err = s.makeDirectory(ctx, parent(path), err); err != nil {
			return driver.Indexes{}, err
		}
	}
}

// create writes if there is no key.
func (s *store) create(ctx context.Context, path string, w driver.Write) (driver.Indexes, error) {
	for {
		indexes, err := s.createZnode(ctx, path, w.Value)
		if !errors.Is(err, zk.ErrNodeExists) {
			return indexes, err
		}
		stat, _, err := s.look(ctx, path, false, true)
		switch {
		case err != nil:
			return driver.Indexes{}, err
		case stat == nil:
			continue
		case isEphemeral(stat) && !ofEarlierRelease(stat):
			if err := s.makeRoom(ctx, path); err != nil {
				return driver.Indexes{}, err
			}
			continue
		case stat.DataLength > 0 || isEphemeral(stat): // a key, or the lock of an earlier release
			return driver.Indexes{}, w.Cond.Check(uint64(stat.Czxid), uint64(stat.Mzxid), nil)
		}
		// A directory becomes a key.
		results, _, err := s.multi(ctx, s.fillOps(path, w.Value, stat.Version)...)
		switch {
		case err == nil:
			return indexesOf(results[0].Stat), nil
		case errors.Is(err, zk.ErrNoNode):
			err = s.makeContainer(ctx, child(path, own), s.acl)
			if err != nil && !errors.Is(err, zk.ErrNodeExists) && !errors.Is(err, zk.ErrNoNode) {
				return driver.Indexes{}, err
			}
		case errors.Is(err, zk.ErrNodeExists):
			if err := s.removeSentinel(ctx, path); err != nil {
				return driver.Indexes{}, err
			}
		case !errors.Is(err, zk.ErrBadVersion):
			return driver.Indexes{}, err
		}
	}
}

// update writes if there is a key and the condition holds. Its first read may be of an old
// state, because the check of the version fails if it was.
func (s *store) update(ctx context.Context, path string, w driver.Write) (driver.Indexes, error) {
	for latest := false; ; latest = true {
		checks, err := s.compareOps(ctx, path, w.Cond)
		if err != nil {
			return driver.Indexes{}, err
		}
		stat, err := s.readMatching(ctx, path, w.Cond, &latest, nil)
		if err != nil {
			return driver.Indexes{}, err
		}
		sentinels, err := s.sentinelChecks(ctx, path, stat)
		switch {
		case errors.Is(err, zk.ErrNoNode):
			continue
		case err != nil:
			return driver.Indexes{}, err
		}
		indexes, failed, err := s.replace(ctx, path, w.Value, stat.Version, slices.Concat(checks, sentinels))
		if err == nil {
			return indexes, nil
		}
		s.sentinels.remove(path)
		if err := s.resolveConflict(path, failed < len(checks), err); err != nil {
			return driver.Indexes{}, err
		}
	}
}

// replace writes to a znode that has that version, if the operations before succeed. When it
// fails, failed is the number of the operation that failed.
func (s *store) replace(ctx context.Context, path string, value []byte, version int32, before []any) (indexes driver.Indexes, failed int, err error) {
	if len(before) == 0 {
		stat, err := s.setData(ctx, path, value, version)
		if err != nil {
			return driver.Indexes{}, 0, err
		}
		return indexesOf(stat), -1, nil
	}
	results, failed, err := s.multi(ctx, append(before, &zk.SetDataRequest{Path: path, Data: value, Version: version})...)
	if err != nil {
		return driver.Indexes{}, failed, err
	}
	return indexesOf(results[len(before)].Stat), -1, nil
}
