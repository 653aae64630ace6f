package zookeeper

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/call"
)

// snapshotTimeout bounds a Snapshot, whose time depends on the size of the tree.
const snapshotTimeout = 5 * time.Minute

// errMoving is the error of a list whose keys change all the time.
var errMoving = errors.New("the keys change faster than they can be read")

// readView reads a part of the tree as it is at one moment, and returns a zxid of that moment.
// ZooKeeper's client cannot read several znodes in one request. So readView reads all of them one
// by one, and then again those that may have changed before the latest change of the others. If
// unique is set no znode has that zxid, unless the user may not write.
func (s *store) readView(ctx context.Context, w walk, unique bool) (*treeView, int64, error) {
	view := newTreeView(w)
	var connections, first, last int64 // connections is their number when view was begun
	for round := 0; ; round++ {
		err := s.repeat(ctx, func(*zk.Conn) error {
			if round == 0 && !s.stale {
				if err := s.main.StartSync().Wait(ctx); err != nil {
					return lost(err)
				}
			}
			// Another server may be behind the one before.
			if now := s.main.Connections(); now != connections {
				view, connections, first = newTreeView(w), now, 0
			}
			if !unique {
				return w.update(ctx, s.main, view, first)
			}
			// It is sent before the reads, so that no other write comes in between.
			indexed := make(chan error, 1)
			go func() { indexed <- s.makeIndex(ctx) }()
			err := w.update(ctx, s.main, view, first)
			if indexErr := <-indexed; err == nil && indexErr != nil && fateOf(indexErr) == call.Refused {
				unique = false // the user may only read, or a quota is used up
			} else {
				err = errors.Join(err, indexErr)
			}
			return err
		})
		if err != nil {
			if round > 0 && errors.Is(context.Cause(ctx), driver.ErrTimeLimit) {
				err = errors.Join(errMoving, err)
			}
			return nil, 0, err
		}
		if first, last = view.span(); unique {
			first++
		}
		if first <= last && s.main.Connections() == connections {
			return view, last, nil
		}
	}
}

// List implements driver.Store.
func (s *store) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	w := walk{prefixes: []string{prefix}, data: !o.KeysOnly, from: o.From, limit: o.Limit}
	view, zxid, err := s.readView(ctx, w, false)
	if err != nil {
		return driver.Page{}, err
	}
	page := driver.Page{Pairs: kvdb.KVPairs{}, Index: uint64(zxid)}
	for _, n := range view.keys(w) {
		if o.Limit > 0 && len(page.Pairs) == o.Limit {
			page.More = true
			break
		}
		pair := pairOf(keyOf(n.path), n.data, n.stat)
		pair.KVDBIndex = max(page.Index, pair.ModifiedIndex)
		page.Pairs = append(page.Pairs, pair)
	}
	return page, nil
}

// Children implements driver.ChildLister. If sep separates directories it reads only enough to
// know which children are keys or have keys below them.
func (s *store) Children(ctx context.Context, dir, sep string) ([]string, error) {
	_, rest := splitPrefix(dir)
	w := walk{prefixes: []string{dir}, names: sep == "/" && rest == ""}
	view, _, err := s.readView(ctx, w, false)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, n := range view.keys(w) {
		if name := driver.ChildName(keyOf(n.path)[len(dir):], sep); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Snapshot implements driver.Snapshotter.
func (s *store) Snapshot(ctx context.Context, prefixes []string, consistent bool) (kvdb.KVPairs, uint64, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, snapshotTimeout)
	defer cancel()
	w := walk{prefixes: prefixes, data: true}
	view, zxid, err := s.readView(ctx, w, consistent)
	if err != nil {
		return nil, 0, err
	}
	if !consistent {
		zxid = 0
	}
	var pairs kvdb.KVPairs
	for _, n := range view.keys(w) {
		pairs = append(pairs, pairOf(keyOf(n.path), n.data, n.stat))
	}
	return pairs, uint64(zxid), nil
}
