package zookeeper

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/go-zookeeper/zk"
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
			failure = context.Cause(ctx)
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

// node is what was read of a znode.
type node struct {
	path     string
	stat     *zk.Stat
	data     []byte
	children []string
}

// moment is a part of the tree as it was read. Where the top of it is missing it
// has, without children, the lowest znode above that is there: its zxids tell
// that it is still missing.
type moment struct {
	nodes map[string]*node
	torn  bool // a znode was gone that the one above had told of
}

// walk is which part of the tree to read.
type walk struct {
	prefixes []string // string prefixes of keys
	data     bool     // with values
	own      bool     // with the library's own znodes
}

// read reads the tree once. What it returns is many moments; see listing.
func (w walk) read(ctx context.Context, c *zk.Conn) (*moment, error) {
	m := &moment{nodes: map[string]*node{}}
	var tops []*node
	for _, prefix := range w.prefixes {
		base, _ := splitPrefix(prefix)
		if m.nodes[base] == nil {
			n := &node{path: base}
			m.nodes[base] = n
			tops = append(tops, n)
		}
	}
	if err := parallel(ctx, len(tops), func(i int) error { return w.fetch(c, tops[i]) }); err != nil {
		return nil, err
	}
	for _, n := range tops {
		if n.stat == nil {
			delete(m.nodes, n.path)
			if err := m.witness(c, n.path); err != nil {
				return nil, err
			}
		}
	}
	return m, w.descend(ctx, c, m, tops)
}

// witness adds what is there of the way to a path that is not.
func (m *moment) witness(c *zk.Conn, path string) error {
	for {
		path = parent(path)
		if m.nodes[path] != nil {
			return nil
		}
		exists, stat, err := c.Exists(path)
		if err != nil {
			return err
		}
		if exists {
			m.nodes[path] = &node{path: path, stat: stat}
			return nil
		}
	}
}

// descend reads what is below a level, level by level.
func (w walk) descend(ctx context.Context, c *zk.Conn, m *moment, level []*node) error {
	for {
		level = w.below(m, level)
		if len(level) == 0 {
			return nil
		}
		if err := parallel(ctx, len(level), func(i int) error { return w.fetch(c, level[i]) }); err != nil {
			return err
		}
		for _, n := range level {
			if n.stat == nil {
				delete(m.nodes, n.path)
				m.torn = true
			}
		}
	}
}

// refresh reads what has changed since, and tells whether anything had.
func (w walk) refresh(ctx context.Context, c *zk.Conn, m *moment) (changed bool, err error) {
	nodes := slices.Collect(maps.Values(m.nodes))
	moved := make([]bool, len(nodes))
	err = parallel(ctx, len(nodes), func(i int) error {
		exists, stat, err := c.Exists(nodes[i].path)
		if err != nil {
			return err
		}
		n := nodes[i]
		moved[i] = !exists || stat.Czxid != n.stat.Czxid || stat.Mzxid != n.stat.Mzxid || stat.Pzxid != n.stat.Pzxid
		if moved[i] {
			return w.fetch(c, n)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	changed, m.torn = m.torn, false
	var level []*node
	for i, n := range nodes {
		switch {
		case !moved[i]:
			continue
		case n.stat == nil:
			delete(m.nodes, n.path)
		default:
			level = append(level, n)
		}
		changed = true
	}
	return changed, w.descend(ctx, c, m, level)
}

// fetch reads one znode; without one its stat stays nil.
func (w walk) fetch(c *zk.Conn, n *node) error {
	var err error
	if w.data {
		n.data, n.stat, err = c.Get(n.path)
	} else {
		var exists bool
		if exists, n.stat, err = c.Exists(n.path); err == nil && !exists {
			err = zk.ErrNoNode
		}
	}
	if err == nil && n.stat.NumChildren > 0 {
		var stat *zk.Stat
		n.children, stat, err = c.Children(n.path)
		if err == nil && newest(stat) > newest(n.stat) {
			n.stat = stat // it changed in between: what was read is not of one moment
			if !w.data {
				return nil
			}
			n.data, _, err = c.Get(n.path)
		}
	}
	if errors.Is(err, zk.ErrNoNode) {
		n.stat, n.data, n.children, err = nil, nil, nil, nil
	}
	return err
}

// below returns the nodes of the next level that are not read yet.
func (w walk) below(m *moment, level []*node) []*node {
	var next []*node
	for _, n := range level {
		for _, name := range n.children {
			path := child(n.path, name)
			if foreign(n.path, name) || name == own && !w.own || m.nodes[path] != nil || !w.within(path) {
				continue
			}
			c := &node{path: path}
			m.nodes[path] = c
			next = append(next, c)
		}
	}
	return next
}

// within tells whether keys with one of the prefixes may be at or below path.
func (w walk) within(path string) bool {
	key := keyOf(path)
	for _, prefix := range w.prefixes {
		if strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key+"/") {
			return true
		}
	}
	return false
}

// listed tells whether a key has one of the prefixes.
func (w walk) listed(key string) bool {
	for _, prefix := range w.prefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// unchangedSince tells whether nothing that was read had changed after zxid: if
// the server had come as far before the reading began, all of it is the state at
// zxid. For a change to a znode or its children leaves its zxid there, and a
// znode that is gone is missed.
func (m *moment) unchangedSince(zxid int64) bool {
	for _, n := range m.nodes {
		if newest(n.stat) > zxid {
			return false
		}
	}
	return !m.torn
}
