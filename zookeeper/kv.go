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

// Get implements driver.Store.
func (s *store) Get(ctx context.Context, key string) (*kvdb.KVPair, error) {
	before := s.main.Zxid()
	var data []byte
	var stat *zk.Stat
	err := s.read(ctx, func(c *zk.Conn) (err error) {
		data, stat, err = c.Get(pathOf(key))
		return err
	})
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil, kvdb.ErrNotFound
	case err != nil:
		return nil, err
	case !isKey(stat):
		return nil, kvdb.ErrNotFound
	}
	pair := pairOf(key, data, stat)
	// Nothing up to this index is missing in what was read.
	pair.KVDBIndex = max(pair.ModifiedIndex, uint64(before))
	return pair, nil
}

func pairOf(key string, data []byte, stat *zk.Stat) *kvdb.KVPair {
	return &kvdb.KVPair{Key: key, Value: data, CreatedIndex: uint64(stat.Czxid), ModifiedIndex: uint64(stat.Mzxid)}
}

func indexesOf(stat *zk.Stat) driver.Indexes {
	return driver.Indexes{Created: uint64(stat.Czxid), Modified: uint64(stat.Mzxid)}
}

// Put implements driver.Store.
func (s *store) Put(ctx context.Context, w driver.Write) (driver.Indexes, error) {
	if err := s.tooLarge(w.Key, w.Value); err != nil {
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
		if indexes, err = s.make(ctx, path, w.Value); !errors.Is(err, zk.ErrNodeExists) {
			return indexes, err
		}
	}
}

// set writes to a znode that is there, whatever it has.
func (s *store) set(ctx context.Context, path string, value []byte) (driver.Indexes, error) {
	if s.kept.has(path) {
		results, failed, err := s.multi(ctx,
			&zk.SetDataRequest{Path: path, Data: value, Version: -1},
			&zk.CheckVersionRequest{Path: keepPath(path), Version: -1})
		if err == nil {
			return indexesOf(results[0].Stat), nil
		}
		if failed < 0 {
			return driver.Indexes{}, err
		}
		s.kept.remove(path)
	}
	var stat *zk.Stat
	err := s.write(ctx, func(c *zk.Conn) (err error) {
		stat, err = c.Set(path, value, -1)
		return err
	})
	switch {
	case err != nil:
		return driver.Indexes{}, err
	case isEphemeral(stat):
		return driver.Indexes{}, s.overwritten(ctx, path, stat)
	case maybeContainer(stat):
		if err = s.keep(ctx, path); err != nil {
			// The value is written, but may not stay: kvdb.ErrNoConnection would say that
			// it is not. When it is gone already, it may be that the server has removed it
			// with the container, or that somebody has deleted it, who must not find it
			// written again.
			err = fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, driver.WithCause(ctx, errors.New(err.Error())))
		}
	}
	return indexesOf(stat), err
}

// overwritten is the end of a write that met a lock, whose value it has replaced: the
// holder moves the lock away because of that. It returns zk.ErrNoNode when there is no
// lock any more.
func (s *store) overwritten(ctx context.Context, path string, stat *zk.Stat) error {
	if stat.Version == heldVersion { // it was less before
		return errForeignLock(path)
	}
	if err := s.moveAway(ctx, &lockNode{path: path}); err != nil {
		return err
	}
	return zk.ErrNoNode
}

// errForeignLock: a key is the lock of an earlier release.
func errForeignLock(path string) error {
	return fmt.Errorf("%w: %s is a lock that a program with an earlier release of this library holds", kvdb.ErrInvalidLock, path)
}

// make creates a key's znode with its value; zk.ErrNodeExists when it is there.
func (s *store) make(ctx context.Context, path string, value []byte) (driver.Indexes, error) {
	for {
		results, _, err := s.multi(ctx, s.made(path, value)...)
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
		indexes, err := s.make(ctx, path, w.Value)
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
		results, _, err := s.multi(ctx, s.filled(path, w.Value, stat.Version)...)
		switch {
		case err == nil:
			return indexesOf(results[0].Stat), nil
		case errors.Is(err, zk.ErrNoNode):
			err = s.makeContainer(ctx, child(path, own), s.acl)
			if err != nil && !errors.Is(err, zk.ErrNodeExists) && !errors.Is(err, zk.ErrNoNode) {
				return driver.Indexes{}, err
			}
		case errors.Is(err, zk.ErrNodeExists):
			if err := s.removeKeep(ctx, path); err != nil {
				return driver.Indexes{}, err
			}
		case !errors.Is(err, zk.ErrBadVersion):
			return driver.Indexes{}, err
		}
	}
}

// update writes if there is a key and the conditions hold. Its first read need
// not be the latest state: when that is not what it saw, the version tells.
func (s *store) update(ctx context.Context, path string, w driver.Write) (driver.Indexes, error) {
	for latest := false; ; latest = true {
		compared, err := s.compared(ctx, path, w.Cond)
		if err != nil {
			return driver.Indexes{}, err
		}
		stat, err := s.checked(ctx, path, w.Cond, &latest, nil)
		if err != nil {
			return driver.Indexes{}, err
		}
		keeping, err := s.keeping(ctx, path, stat)
		switch {
		case errors.Is(err, zk.ErrNoNode):
			continue
		case err != nil:
			return driver.Indexes{}, err
		}
		indexes, failed, err := s.replace(ctx, path, w.Value, stat.Version, slices.Concat(compared, keeping))
		if err == nil {
			return indexes, nil
		}
		s.kept.remove(path)
		if err := s.moved(path, failed < len(compared), err); err != nil {
			return driver.Indexes{}, err
		}
	}
}

// replace writes to a znode that has that version, if the operations before
// succeed. When that fails, failed is the operation that did.
func (s *store) replace(ctx context.Context, path string, value []byte, version int32, before []any) (indexes driver.Indexes, failed int, err error) {
	if len(before) == 0 {
		var stat *zk.Stat
		err := s.write(ctx, func(c *zk.Conn) (err error) {
			stat, err = c.Set(path, value, version)
			return err
		})
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

// compared returns the operation that goes with a write whose condition compares
// what was read.
func (s *store) compared(ctx context.Context, path string, c driver.Cond) ([]any, error) {
	if c.Modified == 0 && c.Created == 0 && !c.HasValue {
		return nil, nil
	}
	check, err := s.checkGeneration(ctx, path)
	if err != nil {
		return nil, err
	}
	return []any{check}, nil
}

// moved returns nil when a write failed because the znode, or its generation, is
// not as it was thought to be.
func (s *store) moved(path string, generationMoved bool, err error) error {
	if !isMoved(err) {
		return err
	}
	if generationMoved {
		s.counts.forget(generation(path))
	}
	return nil
}

// isMoved reports whether a request failed because something has changed since it
// was read.
func isMoved(err error) bool {
	return errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNotEmpty) ||
		errors.Is(err, zk.ErrNodeExists)
}

// checked reads a znode and returns its stat if it is a key for which the
// condition holds. What does not hold is looked at once more in the latest
// state, which is set when that is what was read.
func (s *store) checked(ctx context.Context, path string, cond driver.Cond, latest *bool, data *[]byte) (*zk.Stat, error) {
	for {
		stat, value, err := s.look(ctx, path, data != nil || cond.HasValue, *latest)
		switch {
		case err != nil:
			return nil, err
		case stat == nil || !isKey(stat):
			err = kvdb.ErrNotFound
		default:
			err = cond.Check(uint64(stat.Czxid), uint64(stat.Mzxid), value)
		}
		if err == nil {
			if data != nil {
				*data = value
			}
			return stat, nil
		}
		if *latest {
			return nil, err
		}
		*latest = true
	}
}

// look reads a znode; the stat is nil without one.
func (s *store) look(ctx context.Context, path string, withData, latest bool) (*zk.Stat, []byte, error) {
	read := s.peek
	if latest {
		read = s.sync
	}
	var stat *zk.Stat
	var data []byte
	err := read(ctx, func(c *zk.Conn) (err error) {
		if withData {
			data, stat, err = c.Get(path)
			return err
		}
		exists, found, err := c.Exists(path)
		if stat = found; !exists {
			stat = nil
		}
		return err
	})
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err // and the answer may still come
	}
	return stat, data, nil
}
