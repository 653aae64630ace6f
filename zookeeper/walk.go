package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// walk describes which part of the tree to read.
type walk struct {
	prefixes []string // string prefixes of keys
	data     bool     // with values
	own      bool     // with the library's own znodes
	// names: read only enough to know which children of the one prefix, a directory, are keys or
	// have a key below them.
	names bool
	// limit, unless 0: read only enough to know the first limit keys that are not before from,
	// and whether there is another one.
	from  string
	limit int
}

// update reads what view lacks, and reads again what may have changed before zxid.
func (w walk) update(ctx context.Context, c *conn.Conn, view *treeView, zxid int64) error {
	read, err := w.readBases(ctx, c, view, zxid)
	if err != nil {
		return err
	}
	var old []*node
	for _, n := range view.nodes {
		if n.seen < zxid {
			old = append(old, &node{path: n.path})
		}
	}
	if err := w.fetchAll(ctx, c, view, old); err != nil {
		return err
	}
	read = append(read, old...)
	for step := 1; len(read) > 0; step *= 2 {
		read = w.unread(view, read, step)
		if err := w.fetchAll(ctx, c, view, read); err != nil {
			return err
		}
	}
	return nil
}

// fetchAll reads znodes into view.
func (w walk) fetchAll(ctx context.Context, c *conn.Conn, view *treeView, nodes []*node) error {
	err := parallel(ctx, len(nodes), func(i int) error { return w.fetch(c, nodes[i]) })
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.stat == nil {
			view.removeVanished(n.path)
		} else {
			view.put(n)
		}
	}
	return nil
}

// unread returns the znodes to read next: all below those that were just read, or the part of
// them that is needed.
func (w walk) unread(view *treeView, read []*node, step int) []*node {
	switch {
	case w.names:
		return w.unreadNames(view, step)
	case w.limit > 0:
		return w.unreadPage(view)
	}
	var next []*node
	for _, n := range read {
		next = w.below(view, view.nodes[n.path], next)
	}
	return next
}

// below adds to next the children of a znode that are not read yet.
func (w walk) below(view *treeView, n *node, next []*node) []*node {
	if n == nil {
		return next
	}
	for _, name := range n.children {
		path := child(n.path, name)
		if foreign(n.path, name) || name == own && !w.own || view.nodes[path] != nil || !w.within(path) {
			continue
		}
		next = append(next, &node{path: path})
	}
	return next
}

// unreadNames returns znodes to read at or below each child that is not known yet to be a key, or
// to have one below it. It prefers the deepest, because those are the most likely to be keys, and
// returns more of them with each step.
func (w walk) unreadNames(view *treeView, step int) []*node {
	few := max(1, step/8)
	base, _ := splitPrefix(w.prefixes[0])
	childOf := func(path string) string {
		name, _, _ := strings.Cut(strings.TrimPrefix(path[len(base):], "/"), "/")
		return name
	}
	found := map[string]bool{}
	for _, n := range view.nodes {
		if n.isKey() && n.path != base {
			found[childOf(n.path)] = true
		}
	}
	unread := map[string][]*node{}
	for _, n := range view.nodes {
		for _, next := range w.below(view, n, nil) {
			if name := childOf(next.path); !found[name] {
				unread[name] = append(unread[name], next)
			}
		}
	}
	var next []*node
	for _, some := range unread {
		slices.SortFunc(some, func(a, b *node) int {
			return strings.Count(b.path, "/") - strings.Count(a.path, "/")
		})
		next = append(next, some[:min(few, len(some))]...)
	}
	return next
}

// unreadPage returns znodes that come before the first key after the page. In the order of keys a
// znode comes before those below it.
func (w walk) unreadPage(view *treeView) []*node {
	var next []*node
	for _, n := range view.nodes {
		next = w.below(view, n, next)
	}
	keys := view.keys(w)
	if len(keys) > w.limit {
		end := keys[w.limit].path
		next = slices.DeleteFunc(next, func(n *node) bool { return n.path > end })
	}
	slices.SortFunc(next, func(a, b *node) int { return cmp.Compare(a.path, b.path) })
	return next[:min(max(w.limit, pipeline), len(next))]
}

// within reports whether keys of the walk may be at or below path.
func (w walk) within(path string) bool {
	key := keyOf(path)
	if key+"0" <= w.from { // '0' comes after '/'
		return false
	}
	return slices.ContainsFunc(w.prefixes, func(prefix string) bool {
		return strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key+"/")
	})
}

// listed reports whether a key belongs to the walk. A key longer than maxKey is another program's,
// and Get refuses it.
func (w walk) listed(key string) bool {
	return key >= w.from && len(key) <= maxKey &&
		slices.ContainsFunc(w.prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// fetch reads one znode as it was at one moment. The stat is nil if there is none. A znode that
// the user may not read is hidden, unless the walk includes the library's own znodes.
func (w walk) fetch(c *conn.Conn, n *node) error {
	t := c.TrackZxid(n.path)
	defer t.Stop()
	err := w.fetchReadable(c, n, t)
	if !errors.Is(err, zk.ErrNoAuth) || w.own {
		return err
	}
	t.Reset()
	n.data, n.children, n.hidden = nil, nil, true
	n.seen = c.Zxid()
	exists, stat, err := c.Client().Exists(n.path)
	if n.stat = stat; err == nil && !exists {
		err = zk.ErrNoNode
	}
	return n.setResult(t, err)
}

// fetchReadable is fetch of a znode that the user may read.
func (w walk) fetchReadable(c *conn.Conn, n *node, t *conn.ZxidTracker) error {
	for {
		n.seen = c.Zxid()
		if w.data {
			var err error
			n.data, n.stat, err = c.Client().Get(n.path)
			if err != nil || n.stat.NumChildren == 0 {
				return n.setResult(t, err)
			}
			t.Reset()
		}
		sent := c.Zxid()
		children, stat, err := c.Client().Children(n.path)
		if err != nil {
			return n.setResult(t, err)
		}
		if !w.data || lastChange(stat) == lastChange(n.stat) {
			n.children, n.stat, n.seen = children, stat, sent
			return n.setResult(t, nil)
		}
		t.Reset()
	}
}

// bases returns the znodes at or below which the keys of the walk are.
func (w walk) bases() []string {
	var bases []string
	for _, prefix := range w.prefixes {
		if base, _ := splitPrefix(prefix); !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
	}
	return bases
}

// readBases reads into view the bases that it lacks, and returns them. It reads a base again that
// was missing, but may have been created before zxid.
func (w walk) readBases(ctx context.Context, c *conn.Conn, view *treeView, zxid int64) ([]*node, error) {
	var bases []*node
	for _, base := range w.bases() {
		if above := view.above[base]; view.nodes[base] == nil && (above == nil || above.seen < zxid) {
			bases = append(bases, &node{path: base})
		}
	}
	above := make([]*node, len(bases))
	err := parallel(ctx, len(bases), func(i int) (err error) {
		above[i], err = w.readBase(c, bases[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	var read []*node
	for i, n := range bases {
		view.above[n.path] = above[i]
		if n.stat != nil {
			view.put(n)
			read = append(read, n)
		}
	}
	return read, nil
}

// readBase reads a znode. If it is missing, readBase returns the lowest znode above it, which has
// not changed since.
func (w walk) readBase(c *conn.Conn, n *node) (above *node, err error) {
	for {
		err := w.fetch(c, n)
		switch {
		case err != nil:
			return nil, err
		case n.hidden && n.stat != nil: // an empty list would mean that there are no keys
			return nil, zk.ErrNoAuth
		case n.stat != nil:
			return nil, nil
		}
		above := &node{path: n.path}
		for above.stat == nil {
			above.path = parent(above.path)
			above.seen = c.Zxid()
			exists, stat, err := c.Client().Exists(above.path)
			if err != nil {
				return nil, err
			}
			if exists {
				above.stat = stat
			}
		}
		if lastChange(above.stat) <= n.seen {
			above.seen = max(above.seen, lastChange(above.stat))
			return above, nil
		}
	}
}
