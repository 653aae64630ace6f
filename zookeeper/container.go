package zookeeper

import (
	"context"
	"errors"

	"github.com/go-zookeeper/zk"
)

// makeContainers creates the container at path and those above that are missing. It returns
// those that it created, outermost first. The server may remove a container that had children
// and has none any more, so the caller must be prepared to make it again.
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

// makeContainer creates one container. It is sent again when its outcome is unknown, because
// it does not matter who created it.
func (s *store) makeContainer(ctx context.Context, path string, acl []zk.ACL) error {
	if path == "/"+own {
		acl = zk.WorldACL(zk.PermAll) // all users share it
	}
	return s.repeat(ctx, func(c *zk.Conn) error {
		_, err := c.CreateContainer(path, []byte{}, zk.FlagContainer, acl)
		return err
	})
}

// makeDirectory makes the directory at path, in which a znode could not be created because
// of err: it creates the containers that are missing, and has a lock that is in the way moved.
func (s *store) makeDirectory(ctx context.Context, path string, err error) error {
	if errors.Is(err, zk.ErrNoNode) {
		_, err = s.makeContainers(ctx, path, s.acl)
	}
	if errors.Is(err, zk.ErrNoChildrenForEphemerals) {
		return s.makeRoom(ctx, path)
	}
	return err
}

// makeShared creates one of the library's own znodes, which all users share and which stays,
// unless it exists.
func (s *store) makeShared(ctx context.Context, path string) error {
	everyone := zk.WorldACL(zk.PermAll)
	return s.ensure(ctx, path, zk.FlagPersistent, everyone, func() error {
		_, err := s.makeContainers(ctx, parent(path), everyone)
		return err
	})
}

// ensure creates a znode unless it exists. It calls makeParent when the znode above is missing.
func (s *store) ensure(ctx context.Context, path string, flags int32, acl []zk.ACL, makeParent func() error) error {
	for {
		err := s.repeat(ctx, func(c *zk.Conn) error {
			_, err := c.Create(path, []byte{}, flags, acl)
			return err
		})
		switch {
		case err == nil, errors.Is(err, zk.ErrNodeExists):
			return nil
		case !errors.Is(err, zk.ErrNoNode):
			return err
		}
		if err := makeParent(); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
	}
}
