package zookeeper

import (
	"context"
	"errors"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// Get implements driver.Store.
func (s *store) Get(ctx context.Context, key string) (*kvdb.KVPair, error) {
	before := s.main.Zxid()
	stat, data, err := s.look(ctx, pathOf(key), true, !s.stale)
	switch {
	case err != nil:
		return nil, err
	case stat == nil || !isKey(stat):
		return nil, kvdb.ErrNotFound
	}
	pair := pairOf(key, data, stat)
	// What was read includes all changes up to this index.
	pair.KVDBIndex = max(pair.ModifiedIndex, uint64(before))
	return pair, nil
}

// reader returns sync if reads must see the latest state, and peek if not.
func (s *store) reader(latest bool) func(context.Context, conn.Request) error {
	if latest {
		return s.sync
	}
	return s.peek
}

// look reads a znode. The stat is nil if there is none.
func (s *store) look(ctx context.Context, path string, withData, latest bool) (*zk.Stat, []byte, error) {
	var stat *zk.Stat
	var data []byte
	err := s.reader(latest)(ctx, func(c *zk.Conn) (err error) {
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
		return nil, nil, err // the request may still write stat and data
	}
	return stat, data, nil
}

// readMatching reads a znode and returns its stat if it is a key for which the condition holds.
// It reads the latest state when latest is true, or when the condition does not hold in an older
// one; then it sets latest. The value goes to data, unless that is nil.
func (s *store) readMatching(ctx context.Context, path string, cond driver.Cond, latest *bool, data *[]byte) (*zk.Stat, error) {
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

// children returns the names of a znode's children, or none if there is no znode.
func (s *store) children(ctx context.Context, path string, latest bool) ([]string, error) {
	var names []string
	err := s.reader(latest)(ctx, func(c *zk.Conn) (err error) {
		names, _, err = c.Children(path)
		return err
	})
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return names, nil
}
