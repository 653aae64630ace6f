package zookeeper

import (
	"context"
	"errors"
	"slices"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// Delete implements driver.Store.
func (s *store) Delete(ctx context.Context, key string, cond driver.Cond) (*kvdb.KVPair, error) {
	path := pathOf(key)
	for latest := false; ; latest = true {
		checks, err := s.compared(ctx, path, cond)
		if err != nil {
			return nil, err
		}
		var data []byte
		stat, err := s.checked(ctx, path, cond, &latest, &data)
		if err != nil {
			return nil, err
		}
		// The reply to the set has the index, and tells which znode it was.
		ops := append(checks, &zk.SetDataRequest{Path: path, Data: []byte{}, Version: stat.Version})
		more, err := s.removal(ctx, path, stat)
		if err != nil {
			return nil, err
		}
		results, failed, err := s.multi(ctx, append(ops, more...)...)
		if err == nil {
			s.kept.remove(path)
			emptied := results[len(checks)].Stat
			if emptied.Czxid != stat.Czxid {
				return nil, errReplaced
			}
			pair := pairOf(key, data, stat)
			pair.KVDBIndex = uint64(emptied.Mzxid)
			return pair, nil
		}
		if failed == len(ops)+len(more)-1 && errors.Is(err, zk.ErrNoNode) {
			err = s.createGeneration(ctx, generation(path))
		}
		if err := s.moved(path, failed < len(checks), err); err != nil {
			return nil, err
		}
	}
}

// errReplaced: the key was deleted and created again, by others, between the
// read of the old pair and its deletion, and had the same version by chance.
var errReplaced = errors.Join(kvdb.ErrUnknownOutcome,
	errors.New("the key is deleted, but its last pair is not known: others had deleted and created it again"))

// removal returns the operations that remove the znode of a key that is emptied
// in the same request. One with children stays, as a directory. The last
// operation counts the deletion.
func (s *store) removal(ctx context.Context, path string, stat *zk.Stat) ([]any, error) {
	ops := []any{}
	if stat.NumChildren > 0 {
		children, err := s.children(ctx, path)
		if err != nil {
			return nil, err
		}
		if slices.Contains(children, own) {
			guards, err := s.children(ctx, child(path, own))
			if err != nil {
				return nil, err
			}
			if slices.Contains(guards, keep) {
				ops = append(ops, &zk.DeleteRequest{Path: keepPath(path), Version: -1})
				guards = slices.DeleteFunc(guards, func(name string) bool { return name == keep })
			}
			if len(guards) == 0 && len(children) == 1 {
				ops = append(ops, &zk.DeleteRequest{Path: child(path, own), Version: -1})
				children = nil
			}
		}
		if len(children) > 0 {
			return append(ops, countDeletion(path)), nil
		}
	}
	return append(ops, &zk.DeleteRequest{Path: path, Version: stat.Version + 1}, countDeletion(path)), nil
}

// children returns the names of a znode's children, none without the znode. They
// may be an old state.
func (s *store) children(ctx context.Context, path string) ([]string, error) {
	var names []string
	err := s.peek(ctx, func(c *zk.Conn) (err error) {
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
