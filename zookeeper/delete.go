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
		checks, err := s.compareOps(ctx, path, cond)
		if err != nil {
			return nil, err
		}
		var data []byte
		stat, err := s.readMatching(ctx, path, cond, &latest, &data)
		if err != nil {
			return nil, err
		}
		// The reply to the set has the index of the deletion, and shows which znode it was.
		ops := append(checks, &zk.SetDataRequest{Path: path, Data: []byte{}, Version: stat.Version})
		more, _, err := s.removalOps(ctx, path, stat, stat.Version+1, false)
		if err != nil {
			return nil, err
		}
		more = append(more, countDeletion(path))
		results, failed, err := s.multi(ctx, append(ops, more...)...)
		if err == nil {
			s.sentinels.remove(path)
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
		if err := s.resolveConflict(path, failed < len(checks), err); err != nil {
			return nil, err
		}
	}
}

// errReplaced is the error of a Delete if others have deleted the key between its read and its
// write, and have created it again and written it up to the same version.
var errReplaced = errors.Join(kvdb.ErrUnknownOutcome,
	errors.New("the key is deleted, but its last pair is not known: others had deleted and created it again"))

// removalOps returns the operations that remove the znode of a key, which has that version by
// then. If it has children, or stays is set, it stays as a directory, and gone is false: the
// request must empty it.
func (s *store) removalOps(ctx context.Context, path string, stat *zk.Stat, version int32, stays bool) (ops []any, gone bool, err error) {
	var children []string
	if stat.NumChildren > 0 {
		if children, err = s.children(ctx, path, false); err != nil {
			return nil, false, err
		}
	}
	if slices.Contains(children, own) {
		inOwn, err := s.children(ctx, child(path, own), false)
		if err != nil {
			return nil, false, err
		}
		if slices.Contains(inOwn, sentinel) {
			ops = append(ops, &zk.DeleteRequest{Path: sentinelPath(path), Version: -1})
			inOwn = slices.DeleteFunc(inOwn, func(name string) bool { return name == sentinel })
		}
		if len(inOwn) == 0 && len(children) == 1 {
			ops = append(ops, &zk.DeleteRequest{Path: child(path, own), Version: -1})
			children = nil
		}
	}
	if gone = len(children) == 0 && !stays; gone {
		ops = append(ops, &zk.DeleteRequest{Path: path, Version: version})
	}
	return ops, gone, nil
}
