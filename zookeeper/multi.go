package zookeeper

import (
	"context"
	"errors"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// multi applies all operations or none. When it fails, failed is the number of the operation
// that failed, or -1 when that is not known.
func (s *store) multi(ctx context.Context, ops ...any) (results []zk.MultiResponse, failed int, err error) {
	return s.multiFrom(ctx, func() {}, ops...)
}

// multiFrom is multi. It calls sending before each time that it sends the request.
func (s *store) multiFrom(ctx context.Context, sending func(), ops ...any) (results []zk.MultiResponse, failed int, err error) {
	var answer []zk.MultiResponse
	err = s.write(ctx, func(c *zk.Conn) (err error) {
		sending()
		answer, err = c.Multi(ops...)
		return err
	})
	if errors.Is(err, conn.ErrAbandoned) { // the request may still write answer
		return nil, -1, err
	}
	for i, result := range answer {
		if result.Error != nil {
			return nil, i, err
		}
	}
	return answer, -1, err
}

// isConflict reports whether a request failed because something has changed since it
// was read.
func isConflict(err error) bool {
	return errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNotEmpty) ||
		errors.Is(err, zk.ErrNodeExists)
}

// createOps returns the operations that create a znode with a value. The reply to the second
// one has the indexes, which that to the first has not.
func (s *store) createOps(path string, value []byte) []any {
	return []any{
		&zk.CreateRequest{Path: path, Data: []byte{}, Acl: s.acl, Flags: zk.FlagPersistent},
		&zk.SetDataRequest{Path: path, Data: value, Version: 0},
	}
}

// absentOps returns the operations that succeed if there is no znode at path.
func (s *store) absentOps(path string) []any {
	return []any{
		&zk.CreateRequest{Path: path, Data: []byte{}, Acl: s.acl, Flags: zk.FlagPersistent},
		&zk.DeleteRequest{Path: path, Version: 0},
	}
}

// fillOps returns the operations that make a directory a key, if it has that version.
func (s *store) fillOps(path string, value []byte, version int32) []any {
	return []any{
		&zk.SetDataRequest{Path: path, Data: value, Version: version},
		&zk.CreateRequest{Path: sentinelPath(path), Data: []byte{}, Acl: s.acl, Flags: zk.FlagPersistent},
	}
}

// writeOps returns the operations of a write to a znode with that stat, nil for none.
func (s *store) writeOps(w driver.Write, stat *zk.Stat) []any {
	path := pathOf(w.Key)
	switch {
	case stat == nil:
		return s.createOps(path, w.Value)
	case stat.DataLength > 0:
		return []any{&zk.SetDataRequest{Path: path, Data: w.Value, Version: -1}}
	}
	return s.fillOps(path, w.Value, stat.Version)
}
