package zookeeper

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/go-zookeeper/zk"
)

// The server removes a container that had children and has none any more, with
// its value. So one that became a key gets a child that stays. Between the write
// that makes it a key and the creation of the child there may be a moment: when it
// is gone by then, by the server or by somebody's deletion, a Put does not know its
// outcome.

// maybeContainer reports whether a znode may be a container, from the stat after a
// write of its value. The server does not tell. A znode that was created as a key
// was written when it was created, and has no children at first; a container
// that was never written has had none, or is written for the first time.
func maybeContainer(stat *zk.Stat) bool { return stat.Cversion > 0 || stat.Version <= 1 }

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

// keeping are the operations that go with another write of a key with that stat:
// should the Put that made a container a key have ended before it made the keep,
// it is made first.
func (s *store) keeping(ctx context.Context, path string, stat *zk.Stat) ([]any, error) {
	// What was written when it was created was created as a key.
	if stat.Cversion == 0 && (stat.Version > 1 || stat.Mzxid == stat.Czxid) {
		return nil, nil
	}
	if !s.kept.has(path) {
		if err := s.keep(ctx, path); err != nil {
			return nil, err
		}
	}
	return []any{&zk.CheckVersionRequest{Path: keepPath(path), Version: -1}}, nil
}

// filled are the operations that make a directory a key, if it has that version.
func (s *store) filled(path string, value []byte, version int32) []any {
	return []any{
		&zk.SetDataRequest{Path: path, Data: value, Version: version},
		&zk.CreateRequest{Path: keepPath(path), Data: []byte{}, Acl: s.acl, Flags: zk.FlagPersistent},
	}
}

// isKeep reports whether an operation creates a keep.
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

func (p *paths) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.set)
}
