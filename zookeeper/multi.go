package zookeeper

import (
	"context"
	"errors"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// multi applies all operations or none. When it fails, failed is the operation
// that did.
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
	if errors.Is(err, conn.ErrAbandoned) { // the answer may still come
		return nil, -1, err
	}
	for i, result := range answer {
		if result.Error != nil {
			return nil, i, err
		}
	}
	return answer, -1, err
}

// made are the operations that create a znode with a value. The second one's
// reply has the indexes, which that of the first has not.
func (s *store) made(path string, value []byte) []any {
	return []any{
		&zk.CreateRequest{Path: path, Data: []byte{}, Acl: s.acl, Flags: zk.FlagPersistent},
		&zk.SetDataRequest{Path: path, Data: value, Version: 0},
	}
}

// makeContainers creates the container at path and those above that are
// missing. Containers that were made and not used yet stay, others may be gone
// soon: who needs one must be prepared to make it again. It returns those that it
// made, outermost first.
func (s *store) makeContainers(ctx context.Context, path string, acl []zk.ACL) (made []string, err error) {
	missing := []string{path}
	for len(missing) > 0 {
		next := missing[len(missing)-1]
		err := s.makeContainer(ctx, next, acl)
		switch {
		case errors.Is(err, zk.ErrNoNode):
			missing = append(missing, parent(next))
		case err == nil, errors.Is(err, zk.ErrNodeExists):
			missing = missing[:len(missing)-1]
			if err == nil {
				made = append(made, next)
			}
		default:
			return made, err
		}
	}
	return made, nil
}

// makeShared creates a znode for all users, one of the library's own that stays, unless
// it is there.
func (s *store) makeShared(ctx context.Context, path string) error {
	everyone := zk.WorldACL(zk.PermAll)
	for {
		err := s.call(ctx, true, func(c *zk.Conn) error {
			_, err := c.Create(path, []byte{}, zk.FlagPersistent, everyone)
			return err
		})
		switch {
		case err == nil, errors.Is(err, zk.ErrNodeExists):
			return nil
		case !errors.Is(err, zk.ErrNoNode):
			return err
		}
		if _, err := s.makeContainers(ctx, parent(path), everyone); err != nil {
			return err
		}
	}
}

// makeDirectory makes the containers at path and above that are missing, for a znode
// below that could not be created because of err. Where a lock is in the way it has it
// moved.
func (s *store) makeDirectory(ctx context.Context, path string, err error) error {
	if errors.Is(err, zk.ErrNoNode) {
		_, err = s.makeContainers(ctx, path, s.acl)
	}
	if errors.Is(err, zk.ErrNoChildrenForEphemerals) {
		return s.makeRoom(ctx, path)
	}
	return err
}

// makeContainer creates one container. It is sent again when its outcome is
// unknown, for it does not matter who made it.
func (s *store) makeContainer(ctx context.Context, path string, acl []zk.ACL) error {
	if path == "/"+own {
		acl = zk.WorldACL(zk.PermAll) // for all users
	}
	return s.call(ctx, true, func(c *zk.Conn) error {
		_, err := c.CreateContainer(path, []byte{}, zk.FlagContainer, acl)
		return err
	})
}
