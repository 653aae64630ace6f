package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// snapshotTimeout bounds a Snapshot, whose time depends on the size of the tree.
const snapshotTimeout = 5 * time.Minute

// errMoving is that of a list whose keys were never at rest for long enough.
var errMoving = errors.New("the keys change faster than they can be read")

// listing reads a part of the tree as it is at one moment, and returns a zxid at
// which it was so. ZooKeeper has no read of several znodes that its client knows,
// so all are read, and that is repeated for those that move until none does. In
// most cases the zxids show that the first time is enough. begin is called
// before each time, and may raise the zxid at which the reading begins.
func (s *store) listing(ctx context.Context, w walk, begin func() (int64, error)) (*moment, int64, error) {
	var m *moment
	var dials, zxid int64 // dials are the connections that there were when m was read
	changed := true
	for round := 0; ; round++ {
		if begin != nil {
			var err error
			if zxid, err = begin(); err != nil {
				return nil, 0, err
			}
		}
		err := s.call(ctx, true, func(c *zk.Conn) (err error) {
			if round == 0 && begin == nil && !s.stale {
				if err := s.main.flush().end(ctx); err != nil {
					return lost(err)
				}
			}
			if begin == nil {
				zxid = s.main.zxid.Load()
			}
			if now := s.main.dials.Load(); m == nil || now != dials {
				dials = now
				m, err = w.read(ctx, c)
				return err
			}
			if changed, err = w.refresh(ctx, c, m); err != nil {
				m = nil
			}
			return err
		})
		switch {
		case err != nil:
			if round > 0 && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				err = errors.Join(errMoving, err)
			}
			return nil, 0, err
		case s.main.dials.Load() == dials && (!changed || m.unchangedSince(zxid)):
			return m, zxid, nil
		}
	}
}

// List implements driver.Store.
func (s *store) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	w := walk{prefixes: []string{prefix}, data: !o.KeysOnly}
	m, zxid, err := s.listing(ctx, w, nil)
	if err != nil {
		return driver.Page{}, err
	}
	page := driver.Page{Pairs: kvdb.KVPairs{}, Index: uint64(zxid)}
	for _, n := range m.keys(w) {
		key := keyOf(n.path)
		if key < o.From {
			continue
		}
		if o.Limit > 0 && len(page.Pairs) == o.Limit {
			page.More = true
			break
		}
		pair := pairOf(key, n.data, n.stat)
		pair.KVDBIndex = max(page.Index, pair.ModifiedIndex)
		page.Pairs = append(page.Pairs, pair)
	}
	return page, nil
}

// keys returns the keys of the walk, sorted.
func (m *moment) keys(w walk) []*node {
	var keys []*node
	for _, n := range m.nodes {
		if isKey(n.stat) && w.listed(keyOf(n.path)) {
			keys = append(keys, n)
		}
	}
	slices.SortFunc(keys, func(a, b *node) int { return cmp.Compare(a.path, b.path) })
	return keys
}

// Snapshot implements driver.Store. The index of a consistent one is that of a
// write to a znode of our own.
func (s *store) Snapshot(ctx context.Context, prefixes []string, consistent bool) (*tree.Tree, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	w := walk{prefixes: prefixes, data: true}
	var begin func() (int64, error)
	if consistent {
		begin = func() (int64, error) { return s.mark(ctx) }
	}
	m, zxid, err := s.listing(ctx, w, begin)
	if err != nil {
		return nil, 0, err
	}
	if !consistent {
		zxid = 0
	}
	t := tree.New()
	for _, n := range m.keys(w) {
		t.Set(keyOf(n.path), &tree.Record{Value: n.data, Created: uint64(n.stat.Czxid), Modified: uint64(n.stat.Mzxid)})
	}
	return t, uint64(zxid), nil
}

// mark takes an index for which there is no other write.
func (s *store) mark(ctx context.Context) (int64, error) {
	for {
		results, _, err := s.multi(ctx, countDeletion(""))
		switch {
		case err == nil:
			s.counts.set(generation(""), results[0].Stat.Version)
			return results[0].Stat.Mzxid, nil
		case !errors.Is(err, zk.ErrNoNode):
			return 0, err
		}
		if err := s.createGeneration(ctx, generation("")); err != nil {
			return 0, err
		}
	}
}
