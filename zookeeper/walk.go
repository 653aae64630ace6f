package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/zookeeper/internal/conn"
)

// pipeline is how many requests are on their way at a time.
const pipeline = 64

// parallel calls f with 0 to n-1, many at a time, until one fails.
func parallel(ctx context.Context, n int, f func(i int) error) error {
	var mu sync.Mutex // protects next and failure
	next, failure := 0, error(nil)
	take := func(err error) int {
		mu.Lock()
		defer mu.Unlock()
		if failure == nil {
			failure = err
		}
		if failure == nil {
			failure = driver.WithCause(ctx, nil)
		}
		if failure != nil {
			return n
		}
		next++
		return next - 1
	}
	var running sync.WaitGroup
	for range min(n, pipeline) {
		running.Go(func() {
			for i := take(nil); i < n; {
				i = take(f(i))
			}
		})
	}
	running.Wait()
	return failure
}

// walk is which part of the tree to read.
type walk struct {
	prefixes []string // string prefixes of keys
	data     bool     // with values
	own      bool     // with the library's own znodes
	// names: of what is below the one prefix, a directory, each child, and as much
	// as reports whether there is a key at or below it.
	names bool
	// limit, unless 0: as much as tells the first keys from this one on, and
	// whether there is another one.
	from  string
	limit int
}

// update reads what was not read yet, and again what was read too long ago: what
// is not known to be as it was at zxid.
func (w walk) update(ctx context.Context, c *conn.Conn, m *moment, zxid int64) error {
	read, err := w.tops(ctx, c, m, zxid)
	if err != nil {
		return err
	}
	var old []*node
	for _, n := range m.nodes {
		if n.seen < zxid {
			old = append(old, &node{path: n.path})
		}
	}
	if err := w.fetchAll(ctx, c, m, old); err != nil {
		return err
	}
	read = append(read, old...)
	for step := 1; len(read) > 0; step *= 2 {
		read = w.unread(m, read, step)
		if err := w.fetchAll(ctx, c, m, read); err != nil {
			return err
		}
	}
	return nil
}

// fetchAll reads znodes, and puts into m what is there.
func (w walk) fetchAll(ctx context.Context, c *conn.Conn, m *moment, level []*node) error {
	err := parallel(ctx, len(level), func(i int) error { return w.fetch(c, level[i]) })
	if err != nil {
		return err
	}
	for _, n := range level {
		if n.stat == nil {
			m.vanished(n.path)
		} else {
			m.put(n)
		}
	}
	return nil
}

// unread returns what to read next: all that is below what was just read, or
// what a part of it needs.
func (w walk) unread(m *moment, read []*node, step int) []*node {
	switch {
	case w.names:
		return w.unreadNames(m, step)
	case w.limit > 0:
		return w.unreadPage(m)
	}
	var next []*node
	for _, n := range read {
		next = w.below(m, m.nodes[n.path], next)
	}
	return next
}

// below adds the children of a znode that are not read yet.
func (w walk) below(m *moment, n *node, next []*node) []*node {
	if n == nil {
		return next
	}
	for _, name := range n.children {
		path := child(n.path, name)
		if foreign(n.path, name) || name == own && !w.own || m.nodes[path] != nil || !w.within(path) {
			continue
		}
		next = append(next, &node{path: path})
	}
	return next
}

// unreadNames returns a znode at or below each child that is not known to be a
// key, or to have one below it: the deepest, as the likeliest. When that was in
// vain for long it returns more and more.
func (w walk) unreadNames(m *moment, step int) []*node {
	few := max(1, step/8)
	base, _ := splitPrefix(w.prefixes[0])
	childOf := func(path string) string {
		name, _, _ := strings.Cut(strings.TrimPrefix(path[len(base):], "/"), "/")
		return name
	}
	found := map[string]bool{}
	for _, n := range m.nodes {
		if n.isKey() && n.path != base {
			found[childOf(n.path)] = true
		}
	}
	unread := map[string][]*node{}
	for _, n := range m.nodes {
		for _, next := range w.below(m, n, nil) {
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

// unreadPage returns those of the znodes that come before the key behind the
// page. In the order of keys a znode comes before what is below it.
func (w walk) unreadPage(m *moment) []*node {
	var next []*node
	for _, n := range m.nodes {
		next = w.below(m, n, next)
	}
	keys := m.keys(w)
	if len(keys) > w.limit {
		end := keys[w.limit].path
		next = slices.DeleteFunc(next, func(n *node) bool { return n.path > end })
	}
	slices.SortFunc(next, func(a, b *node) int { return cmp.Compare(a.path, b.path) })
	return next[:min(max(w.limit, pipeline), len(next))]
}

// within reports whether keys that are wanted may be at or below path.
func (w walk) within(path string) bool {
	key := keyOf(path)
	if key+"0" <= w.from { // '0' comes behind '/'
		return false
	}
	for _, prefix := range w.prefixes {
		if strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key+"/") {
			return true
		}
	}
	return false
}

// listed reports whether a key is wanted.
func (w walk) listed(key string) bool {
	if key < w.from || len(key) > maxKey { // another program's, which Get does not take
		return false
	}
	for _, prefix := range w.prefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// fetch reads one znode as it was at one moment; without one its stat stays nil. One
// that the user may not read is hidden, unless all must be known.
func (w walk) fetch(c *conn.Conn, n *node) error {
	r := c.TrackZxid(n.path)
	defer r.Stop()
	err := w.fetchReadable(c, n, r)
	if !errors.Is(err, zk.ErrNoAuth) || w.own {
		return err
	}
	r.Reset()
	n.data, n.children, n.hidden = nil, nil, true
	n.seen = c.Zxid()
	exists, stat, err := c.Client().Exists(n.path)
	if n.stat = stat; err == nil && !exists {
		err = zk.ErrNoNode
	}
	return n.read(r, err)
}

func (w walk) fetchReadable(c *conn.Conn, n *node, r *conn.ZxidTracker) error {
	for {
		n.seen = c.Zxid()
		if w.data {
			var err error
			n.data, n.stat, err = c.Client().Get(n.path)
			if err != nil || n.stat.NumChildren == 0 {
				return n.read(r, err)
			}
			r.Reset()
		}
		sent := c.Zxid()
		children, stat, err := c.Client().Children(n.path)
		if err != nil {
			return n.read(r, err)
		}
		if !w.data || newest(stat) == newest(n.stat) {
			n.children, n.stat, n.seen = children, stat, sent
			return n.read(r, nil)
		}
		r.Reset()
	}
}

// tops reads the znodes below which is all that is wanted.
func (w walk) tops(ctx context.Context, c *conn.Conn, m *moment, zxid int64) ([]*node, error) {
	var tops []*node
	for _, base := range w.bases() {
		if above := m.above[base]; m.nodes[base] == nil && (above == nil || above.seen < zxid) {
			tops = append(tops, &node{path: base})
		}
	}
	above := make([]*node, len(tops))
	err := parallel(ctx, len(tops), func(i int) (err error) {
		above[i], err = w.top(c, tops[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	var read []*node
	for i, n := range tops {
		m.above[n.path] = above[i]
		if n.stat != nil {
			m.put(n)
			read = append(read, n)
		}
	}
	return read, nil
}

// bases are the znodes at or below which all that is wanted is.
func (w walk) bases() []string {
	var bases []string
	for _, prefix := range w.prefixes {
		if base, _ := splitPrefix(prefix); !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
	}
	return bases
}

// top reads a znode. If it is not there, it returns the lowest znode above it
// that is, and that has not changed since.
func (w walk) top(c *conn.Conn, n *node) (above *node, err error) {
	for {
		err := w.fetch(c, n)
		switch {
		case err != nil:
			return nil, err
		case n.hidden && n.stat != nil: // an empty list would tell that nothing is there
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
		if newest(above.stat) <= n.seen {
			above.seen = max(above.seen, newest(above.stat))
			return above, nil
		}
	}
}
