package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"
)

// DeletePrefix implements driver.Store. It is one request unless that were too
// large. The znode below which all is deleted goes too if it is no key: that
// fails when something was created there meanwhile, and then all begins again.
func (s *store) DeletePrefix(ctx context.Context, prefix string) error {
	w := walk{prefixes: []string{prefix}, own: true}
	for latest := false; ; latest = true {
		read := s.peek
		if latest || !s.stale {
			read = s.sync
		}
		var m *moment
		err := read(ctx, func(*zk.Conn) error {
			m = newMoment(w)
			return w.update(ctx, s.main, m, 0)
		})
		if err != nil {
			return err
		}
		again, err := s.deleteAll(ctx, m, prefix)
		if err != nil || !again {
			return err
		}
	}
}

// deleteAll deletes what was read below prefix. It returns true when it is not as
// it was read any more.
func (s *store) deleteAll(ctx context.Context, m *moment, prefix string) (again bool, err error) {
	for _, ops := range batches(s.deletions(m, prefix), s.maxRequest-64<<10) {
		_, _, err := s.multi(ctx, ops...)
		switch {
		case errors.Is(err, zk.ErrNoNode):
			if err := s.createGenerations(ctx, ops); err != nil {
				return false, err
			}
			return true, nil
		case errors.Is(err, zk.ErrNotEmpty), errors.Is(err, zk.ErrBadVersion):
			return true, nil
		case err != nil:
			return false, err
		}
	}
	return false, nil
}

// createGenerations makes the generations that the operations count deletions
// in.
func (s *store) createGenerations(ctx context.Context, ops []any) error {
	counted := map[int]struct{}{}
	for _, op := range ops {
		if set, ok := op.(*zk.SetDataRequest); ok && strings.HasPrefix(set.Path, parent(generationPath(0))) {
			counted[generationOf(set.Path)] = struct{}{}
		}
	}
	numbers := slices.Collect(maps.Keys(counted))
	return parallel(ctx, len(numbers), func(i int) error {
		stat, _, err := s.look(ctx, generationPath(numbers[i]), false, false)
		if err == nil && stat == nil {
			err = s.createGeneration(ctx, numbers[i])
		}
		return err
	})
}

// deletions are the operations that delete all keys with the prefix, one group a
// znode, deepest first. A znode with a lock below it stays, without data.
func (s *store) deletions(m *moment, prefix string) [][]any {
	nodes := make([]*node, 0, len(m.nodes))
	for _, n := range m.nodes {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(b.path, a.path) })
	base, name := splitPrefix(prefix)
	stays := map[string]bool{"/": true}
	var groups [][]any
	for _, n := range nodes { // what is below a path comes before it
		key := keyOf(n.path)
		inside := strings.HasPrefix(key, prefix)
		switch {
		case name != "" || prefix == "" || m.nodes[base] == nil:
		case isKey(m.nodes[base].stat):
			inside = inside && !strings.HasPrefix(n.path+"/", child(base, own)+"/")
		case n.path == base:
			inside = true
		}
		switch {
		case !inside, isEphemeral(n.stat):
			stays[n.path] = true
		case stays[n.path] && isKey(n.stat):
			groups = append(groups, []any{
				&zk.SetDataRequest{Path: n.path, Data: []byte{}, Version: n.stat.Version}, countDeletion(n.path),
			})
		case !stays[n.path]:
			group := []any{&zk.DeleteRequest{Path: n.path, Version: -1}}
			if isKey(n.stat) {
				group = append(group, countDeletion(n.path))
			}
			groups = append(groups, group)
		}
		if stays[n.path] {
			stays[parent(n.path)] = true
		}
	}
	return groups
}

// opOverhead is how many bytes an operation has besides path and value, at most.
const opOverhead = 32

// batches puts groups together in requests of at most limit bytes, as few as possible. A
// deletion is counted once a request and generation.
func batches(groups [][]any, limit int) [][]any {
	var all [][]any
	var ops []any
	size := 0
	counted := map[string]bool{}
	for _, group := range groups {
		need := 0
		for _, op := range group {
			need += sizeOf(op)
		}
		if size+need > limit {
			all = append(all, ops)
			ops, size, counted = nil, 0, map[string]bool{}
		}
		for _, op := range group {
			if set, ok := op.(*zk.SetDataRequest); ok && set.Version == -1 {
				if counted[set.Path] {
					continue
				}
				counted[set.Path] = true
			}
			ops = append(ops, op)
			size += sizeOf(op)
		}
	}
	if len(ops) > 0 {
		all = append(all, ops)
	}
	return all
}

// sizeOf is the number of bytes that an operation takes in a request, or a bit
// more.
func sizeOf(op any) int {
	switch op := op.(type) {
	case *zk.CreateRequest:
		size := opOverhead + len(op.Path) + len(op.Data)
		for _, acl := range op.Acl {
			size += 12 + len(acl.Scheme) + len(acl.ID)
		}
		return size
	case *zk.SetDataRequest:
		return opOverhead + len(op.Path) + len(op.Data)
	case *zk.DeleteRequest:
		return opOverhead + len(op.Path)
	case *zk.CheckVersionRequest:
		return opOverhead + len(op.Path)
	}
	return 0
}
