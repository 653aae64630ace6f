package zookeeper

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// node is a znode as it was read.
type node struct {
	path     string
	stat     *zk.Stat
	data     []byte
	children []string
	// hidden: the user may not read it, so its value and its children are not known.
	hidden bool
	// seen is a zxid at which the znode was as it was read. It was so from the last change in
	// its stat on, and it may have changed after seen. A server answers a connection's requests in
	// order. So what the connection had seen before the request was sent is seen, unless a larger
	// zxid is known.
	seen int64
}

// setResult completes a node with the result of a read.
func (n *node) setResult(t *conn.ZxidTracker, err error) error {
	switch {
	case errors.Is(err, zk.ErrNoNode):
		n.stat, n.data, n.children = nil, nil, nil
		n.seen = max(n.seen, t.Zxid())
		return nil
	case err == nil:
		n.seen = max(n.seen, t.Zxid(), lastChange(n.stat))
	}
	return err
}

// isKey reports whether the znode is a key that the user may read.
func (n *node) isKey() bool { return isKey(n.stat) && !n.hidden }

// treeView is a part of the tree that was read znode by znode. If there is a zxid at which each
// znode was as it was read, it shows the tree at one moment: the lists of children show that
// there was nothing else.
type treeView struct {
	nodes map[string]*node
	// above has an element for each base of the walk. If the base is missing, it is the lowest
	// znode above it, which would have changed with the creation of the base. It is nil if
	// that is not known, or the base is there.
	above map[string]*node
}

func newTreeView(w walk) *treeView {
	v := &treeView{nodes: map[string]*node{}, above: map[string]*node{}}
	for _, base := range w.bases() {
		v.above[base] = nil
	}
	return v
}

// span returns the first and the last zxid at which all was as it was read. There are none if
// first is larger than last.
func (v *treeView) span() (first, last int64) {
	last = math.MaxInt64
	for _, n := range v.nodes {
		first, last = max(first, lastChange(n.stat)), min(last, n.seen)
	}
	for path, n := range v.above {
		switch {
		case v.nodes[path] != nil:
		case n == nil:
			last = -1
		default:
			first, last = max(first, lastChange(n.stat)), min(last, n.seen)
		}
	}
	return first, last
}

// put adds a znode, or replaces what was read of it before.
func (v *treeView) put(n *node) {
	if old := v.nodes[n.path]; old != nil && old.stat.Pzxid != n.stat.Pzxid {
		present := make(map[string]bool, len(n.children))
		for _, name := range n.children {
			present[name] = true
		}
		for _, name := range old.children {
			if !present[name] {
				v.remove(child(n.path, name))
			}
		}
	}
	v.nodes[n.path] = n
}

// remove removes a znode and those below it.
func (v *treeView) remove(path string) {
	n := v.nodes[path]
	if n == nil {
		return
	}
	delete(v.nodes, path)
	for _, name := range n.children {
		v.remove(child(path, name))
	}
}

// removeVanished removes a znode that is gone, although the one above it still lists it.
func (v *treeView) removeVanished(path string) {
	v.remove(path)
	if above := v.nodes[parent(path)]; above != nil {
		above.seen = -1
		above.children = slices.DeleteFunc(above.children, func(name string) bool { return child(above.path, name) == path })
	}
}

// keys returns the keys of the walk, sorted.
func (v *treeView) keys(w walk) []*node {
	var keys []*node
	for _, n := range v.nodes {
		if n.isKey() && w.listed(keyOf(n.path)) {
			keys = append(keys, n)
		}
	}
	slices.SortFunc(keys, func(a, b *node) int { return strings.Compare(a.path, b.path) })
	return keys
}
