package zookeeper

import (
	"context"
	"errors"
	"strings"

	"github.com/go-zookeeper/zk"
)

// The server removes a container that had children and has none any more, with its value. So
// a container that becomes a key gets a child that stays, the sentinel. If the container is
// gone before the sentinel is created, by the server or because somebody has deleted it, the
// Put does not know its outcome.

// sentinel is the name of the znode, in a key's own, that keeps a container from being removed.
const sentinel = "keep"

func sentinelPath(path string) string { return path + "/" + own + "/" + sentinel }

// maybeContainer reports whether a znode may be a container, judging by the stat after a
// write of its value, because the server does not say so. A znode that was created as a key
// was written when it was created, and has no children at first. A container that was never
// written has had children, or is written for the first time.
func maybeContainer(stat *zk.Stat) bool { return stat.Cversion > 0 || stat.Version <= 1 }

// makeSentinel creates the sentinel of the znode at path. It returns zk.ErrNoNode when the
// znode is gone.
func (s *store) makeSentinel(ctx context.Context, path string) error {
	err := s.ensure(ctx, sentinelPath(path), zk.FlagPersistent, s.acl, func() error {
		return s.makeContainer(ctx, child(path, own), s.acl)
	})
	if err == nil {
		s.sentinels.set(path, struct{}{})
	}
	return err
}

// sentinelChecks returns the operations to send with another write of a key with that stat.
// The Put that made a container a key may have ended before it created the sentinel, so the
// sentinel is created first if it is not known to exist.
func (s *store) sentinelChecks(ctx context.Context, path string, stat *zk.Stat) ([]any, error) {
	// A znode that was written when it was created was created as a key.
	if stat.Cversion == 0 && (stat.Version > 1 || stat.Mzxid == stat.Czxid) {
		return nil, nil
	}
	if _, known := s.sentinels.get(path); !known {
		if err := s.makeSentinel(ctx, path); err != nil {
			return nil, err
		}
	}
	return []any{&zk.CheckVersionRequest{Path: sentinelPath(path), Version: -1}}, nil
}

// isSentinel reports whether an operation creates a sentinel.
func isSentinel(op any) bool {
	create, ok := op.(*zk.CreateRequest)
	return ok && strings.HasSuffix(create.Path, "/"+own+"/"+sentinel)
}

// removeSentinel removes the sentinel of a key that another program has deleted without
// this library.
func (s *store) removeSentinel(ctx context.Context, path string) error {
	err := s.repeat(ctx, func(c *zk.Conn) error { return c.Delete(sentinelPath(path), -1) })
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	return err
}
