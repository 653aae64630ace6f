package zookeeper

import (
	"context"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
)

// prepareDeletion adds the deletion of a key that exists to the request.
func (t *transaction) prepareDeletion(ctx context.Context, w driver.Write) error {
	path, stat := pathOf(w.Key), t.stats[w.Key]
	ops, gone, err := t.s.removalOps(ctx, path, stat, stat.Version, t.writesBelow(path))
	if err != nil {
		return err
	}
	if !gone {
		t.ops = append(t.ops, &zk.SetDataRequest{Path: path, Data: []byte{}, Version: stat.Version})
	}
	t.ops = append(append(t.ops, ops...), countDeletion(path))
	return nil
}

// writesBelow reports whether the transaction writes a key below path.
func (t *transaction) writesBelow(path string) bool {
	for _, w := range t.writes {
		if !w.Delete && strings.HasPrefix(pathOf(w.Key), path+"/") {
			return true
		}
	}
	return false
}

// maxDeletion returns the maximum size in a request of the deletion of a key. To empty a znode
// takes as much as to remove it.
func (s *store) maxDeletion(path string) int {
	return max(sizeOf(s.absentOps(path)...), sizeOf(
		&zk.DeleteRequest{Path: path}, &zk.DeleteRequest{Path: sentinelPath(path)}, &zk.DeleteRequest{Path: child(path, own)}, countDeletion(path)))
}

// forgetSentinels removes the deleted keys from the cache of sentinels.
func (t *transaction) forgetSentinels() {
	for _, w := range t.writes {
		if w.Delete {
			t.s.sentinels.remove(pathOf(w.Key))
		}
	}
}
