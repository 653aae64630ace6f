package zookeeper

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// node is what was read of a znode.
type node struct {
	path     string
	stat     *zk.Stat
	data     []byte
	children []string
	// hidden: the user may not read it. Its value and its children are not known.
	hidden bool
	// seen is a zxid at which the znode was as it was read. It was so from the
	// newest zxid in its stat on; it may have changed after seen. A server does what
	// a connection asks for in order: so what the connection had seen before the
	// request was sent is seen, if no more is known.
	seen int64
}

// read completes a znode that was read.
func (n *node) read(r *conn.ZxidTracker, err error) error {
	switch {
	case errors.Is(err, zk.ErrNoNode):
		n.stat, n.data, n.children = nil, nil, nil
		n.seen = max(n.seen, r.Zxid())
		return nil
	case err == nil:
		n.seen = max(n.seen, r.Zxid(), newest(n.stat))
	}
	return err
}

// isKey reports whether the znode is a key that the user may read.
func (n *node) isKey() bool { return isKey(n.stat) && !n.hidden }

// moment is a part of the tree as it was read, znode by znode. If there is a
// zxid at which each of them was as it was read, it is the tree at one moment:
// the list of a znode's children tells what else there was.
type moment struct {
	nodes map[string]*node
	// above has for each top that is not there a znode above it that is, and that
	// would have changed with the creation of the top; nil when that is not known,
	// or the top is there.
	above map[string]*node
}

func newMoment(w walk) *moment {
	m := &moment{nodes: map[string]*node{}, above: map[string]*node{}}
	for _, base := range w.bases() {
		m.above[base] = nil
	}
	return m
}

// span returns the zxids between which all was as it was read: there are none
// if first is larger than last.
func (m *moment) span() (first, last int64) {
	last = math.MaxInt64
	for _, n := range m.nodes {
		first, last = max(first, newest(n.stat)), min(last, n.seen)
	}
	for path, n := range m.above {
		switch {
		case m.nodes[path] != nil:
		case n == nil:
			last = -1
		default:
			first, last = max(first, newest(n.stat)), min(last, n.seen)
		}
	}
	return first, last
}

// put adds a znode, or what was read of it later.
func (m *moment) put(n *node) {
	if old := m.nodes[n.path]; old != nil && old.stat.Pzxid != n.stat.Pzxid {
		present := make(map[string]bool, len(n.children))
		for _, name := range n.children {
			present[name] = true
		}
		for _, name := range old.children {
			if !present[name] {
				m.drop(child(n.path, name))
			}
		}
	}
	m.nodes[n.path] = n
}

// drop forgets a znode and what is below it.
func (m *moment) drop(path string) {
	n := m.nodes[path]
	if n == nil {
		return
	}
	delete(m.nodes, path)
	for _, name := range n.children {
		m.drop(child(path, name))
	}
}

// vanished forgets a znode that is gone, of which the one above it still told.
func (m *moment) vanished(path string) {
	m.drop(path)
	if above := m.nodes[parent(path)]; above != nil {
		above.seen = -1
		above.children = slices.DeleteFunc(above.children, func(name string) bool { return child(above.path, name) == path })
	}
}

// keys returns the keys of the walk, sorted.
func (m *moment) keys(w walk) []*node {
	var keys []*node
	for _, n := range m.nodes {
		if n.isKey() && w.listed(keyOf(n.path)) {
			keys = append(keys, n)
		}
	}
	slices.SortFunc(keys, func(a, b *node) int { return strings.Compare(a.path, b.path) })
	return keys
}
