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

// DeletePrefix implements driver.Store. It sends one request, or several if that would be too
// large. It also deletes the directory itself unless that is a key. The request fails when
// something was created there since it was read, and then all begins anew.
func (s *store) DeletePrefix(ctx context.Context, prefix string) error {
	w := walk{prefixes: []string{prefix}, own: true}
	for latest := false; ; latest = true {
		var view *treeView
		err := s.reader(latest || !s.stale)(ctx, func(*zk.Conn) error {
			view = newTreeView(w)
			return w.update(ctx, s.main, view, 0)
		})
		if err != nil {
			return err
		}
		again, err := s.deleteAll(ctx, view, prefix)
		if err != nil || !again {
			return err
		}
	}
}

// batchMargin is the difference in bytes between the largest request that the servers take and
// the largest one that DeletePrefix sends.
const batchMargin = 64 << 10

// deleteAll deletes what was read below prefix. It returns true when something has changed
// since it was read.
func (s *store) deleteAll(ctx context.Context, view *treeView, prefix string) (again bool, err error) {
	for _, ops := range batches(deletions(view, prefix), s.maxRequest-batchMargin) {
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

// createGenerations creates the generations in which the operations count deletions.
func (s *store) createGenerations(ctx context.Context, ops []any) error {
	counted := map[int]struct{}{}
	for _, op := range ops {
		if n, counts := countedBy(op); counts {
			counted[n] = struct{}{}
		}
	}
	numbers := slices.Collect(maps.Keys(counted))
	return parallel(ctx, len(numbers), func(i int) error { return s.createGeneration(ctx, numbers[i]) })
}

// deletions returns the operations that delete all keys with the prefix, one group for each
// znode, deepest first. A znode with a lock below it stays, without data.
func deletions(view *treeView, prefix string) [][]any {
	nodes := slices.SortedFunc(maps.Values(view.nodes), func(a, b *node) int { return cmp.Compare(b.path, a.path) })
	base, name := splitPrefix(prefix)
	stays := map[string]bool{"/": true}
	var groups [][]any
	for _, n := range nodes { // those below a path come before it
		inside := strings.HasPrefix(keyOf(n.path), prefix)
		switch {
		case name != "" || prefix == "" || view.nodes[base] == nil:
		case isKey(view.nodes[base].stat):
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

// batches combines groups into requests of at most limit bytes, as few as possible. A request
// counts at most one deletion in each generation.
func batches(groups [][]any, limit int) [][]any {
	var all [][]any
	var ops []any
	size := 0
	counted := map[string]bool{}
	for _, group := range groups {
		if size+sizeOf(group...) > limit {
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
