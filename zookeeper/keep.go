package zookeeper

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/go-zookeeper/zk"
)

// A container that became a key has a child, so that the server does not remove
// it when the keys below are gone. Between the write that makes it a key and the
// creation of the child there is a moment: should the server remove it just then,
// the write is repeated.

func keepPath(path string) string { return path + "/" + own + "/" + keep }

// keep keeps a container at path; zk.ErrNoNode when it is gone.
func (s *store) keep(ctx context.Context, path string) error {
	for {
		err := s.call(ctx, true, func(c *zk.Conn) error {
			_, err := c.Create(keepPath(path), []byte{}, zk.FlagPersistent, s.acl)
			return err
		})
		switch {
		case err == nil, errors.Is(err, zk.ErrNodeExists):
			s.kept.add(path)
			return nil
		case !errors.Is(err, zk.ErrNoNode):
			return err
		}
		if err := s.makeContainer(ctx, child(path, own), s.acl); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
	}
}

// filled are the operations that make a directory a key, if it is as it was.
func (s *store) filled(path string, value []byte, stat *zk.Stat) []any {
	ops := []any{&zk.SetDataRequest{Path: path, Data: value, Version: stat.Version}}
	if isContainer(stat) {
		ops = append(ops, &zk.CreateRequest{Path: keepPath(path), Data: []byte{}, Acl: s.acl, Flags: zk.FlagPersistent})
	}
	return ops
}

// isKeep tells whether an operation creates a keep.
func isKeep(op any) bool {
	create, ok := op.(*zk.CreateRequest)
	return ok && strings.HasSuffix(create.Path, "/"+own+"/"+keep)
}

// removeKeep removes what is left of a key that a program without this library
// deleted.
func (s *store) removeKeep(ctx context.Context, path string) error {
	err := s.call(ctx, true, func(c *zk.Conn) error { return c.Delete(keepPath(path), -1) })
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	return err
}

// maxKept bounds the paths that an instance remembers.
const maxKept = 10000

// paths is a set of paths, bounded.
type paths struct {
	mu  sync.Mutex // protects set
	set map[string]struct{}
}

func (p *paths) has(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.set[path]
	return ok
}

func (p *paths) add(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil || len(p.set) >= maxKept {
		p.set = map[string]struct{}{}
	}
	p.set[path] = struct{}{}
}

func (p *paths) remove(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.set, path)
}
