package zookeeper

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// snapshotTimeout bounds a Snapshot, whose time depends on the size of the tree.
const snapshotTimeout = 5 * time.Minute

// errMoving is that of a list whose keys were never at rest for long enough.
var errMoving = errors.New("the keys change faster than they can be read")

// listing reads a part of the tree as it is at one moment, and returns a zxid at
// which it was so. ZooKeeper has no read of several znodes that its client knows,
// so all are read one by one, and then again those of which it is not known that
// they were the same when the last of the others came to be. With apart the zxid
// is none of the znodes'.
func (s *store) listing(ctx context.Context, w walk, apart bool) (*moment, int64, error) {
	m := newMoment(w)
	var dials, first, last int64 // dials are the connections that there were when m was begun
	for round := 0; ; round++ {
		err := s.call(ctx, true, func(*zk.Conn) error {
			if round == 0 && !s.stale {
				if err := s.main.StartSync().Wait(ctx); err != nil {
					return lost(err)
				}
			}
			// Another server may not have come as far as the one before.
			if now := s.main.Connections(); now != dials {
				m, dials, first = newMoment(w), now, 0
			}
			if !apart {
				return w.update(ctx, s.main, m, first)
			}
			// On its way before the reads, so that nothing comes in between.
			marked := make(chan error, 1)
			go func() { marked <- s.mark(ctx) }()
			err := w.update(ctx, s.main, m, first)
			if markErr := <-marked; err == nil && fateOf(markErr) == answered && markErr != nil {
				apart = false // a user who may only read, or a quota that is used up
			} else {
				err = errors.Join(err, markErr)
			}
			return err
		})
		if err != nil {
			if round > 0 && errors.Is(context.Cause(ctx), driver.ErrTimeLimit) {
				err = errors.Join(errMoving, err)
			}
			return nil, 0, err
		}
		if first, last = m.span(); apart {
			first++
		}
		if first <= last && s.main.Connections() == dials {
			return m, last, nil
		}
	}
}

// List implements driver.Store.
func (s *store) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	w := walk{prefixes: []string{prefix}, data: !o.KeysOnly, from: o.From, limit: o.Limit}
	m, zxid, err := s.listing(ctx, w, false)
	if err != nil {
		return driver.Page{}, err
	}
	page := driver.Page{Pairs: kvdb.KVPairs{}, Index: uint64(zxid)}
	for _, n := range m.keys(w) {
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

// Children implements driver.ChildLister. With the separator of directories it
// reads no more than it takes to know which of them have keys.
func (s *store) Children(ctx context.Context, dir, sep string) ([]string, error) {
	_, rest := splitPrefix(dir)
	w := walk{prefixes: []string{dir}, names: sep == "/" && rest == ""}
	m, _, err := s.listing(ctx, w, false)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, n := range m.keys(w) {
		if name := driver.ChildName(keyOf(n.path)[len(dir):], sep); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Snapshot implements driver.Store.
func (s *store) Snapshot(ctx context.Context, prefixes []string, consistent bool) (*tree.Tree, uint64, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, snapshotTimeout)
	defer cancel()
	w := walk{prefixes: prefixes, data: true}
	m, zxid, err := s.listing(ctx, w, consistent)
	if err != nil {
		return nil, 0, err
	}
	if !consistent {
		zxid = 0
	}
	t := tree.NewOrdered()
	for _, n := range m.keys(w) {
		t.Set(keyOf(n.path), &tree.Record{Value: n.data, Created: uint64(n.stat.Czxid), Modified: uint64(n.stat.Mzxid)})
	}
	return t, uint64(zxid), nil
}

// mark makes an index for which there is no other write, and which the session
// has seen.
func (s *store) mark(ctx context.Context) error {
	for {
		results, _, err := s.multi(ctx, countDeletion(""))
		switch {
		case err == nil:
			s.counts.set(generation(""), results[0].Stat.Version)
			return nil
		case !errors.Is(err, zk.ErrNoNode):
			return err
		}
		if err := s.createGeneration(ctx, generation("")); err != nil {
			return err
		}
	}
}
