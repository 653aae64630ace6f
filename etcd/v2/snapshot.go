package etcdv2

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/v2"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

const (
	// snapshotTimeout bounds a snapshot, which may be large.
	snapshotTimeout = time.Minute
	// markerTTL is how long a marker remains that could not be removed.
	markerTTL = 15 * time.Second
)

// snapshot is a copy of pairs by their keys, which follows events.
type snapshot map[string]*kvdb.KVPair

// Snapshot implements driver.Snapshotter.
func (s *store) Snapshot(ctx context.Context, prefixes []string, consistent bool) (kvdb.KVPairs, uint64, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, snapshotTimeout)
	defer cancel()
	common := commonPrefix(prefixes)
	for {
		g, _ := s.pool.history.now()
		nodes, index, err := s.nodesBelow(ctx, common, s.stale && !consistent)
		if err != nil {
			return nil, 0, err
		}
		s.pool.history.noteList(g, nodes)
		copied, latest := snapshot{}, uint64(0)
		for _, n := range nodes {
			if hasOne(keyOf(n), prefixes) {
				copied.put(n)
				latest = max(latest, n.ModifiedIndex)
			}
		}
		switch {
		case !consistent:
			return copied.pairs(), 0, nil
		case latest < index: // the last event of the store is not a write to these
			return copied.pairs(), index, nil
		}
		marked, err := s.mark(ctx, directory(common))
		if codeOf(err) == client.ErrorCodeUnauthorized { // the user may only read
			return copied.pairs(), index, nil
		}
		if err == nil {
			err = s.moveOn(ctx, g, copied, directory(common), prefixes, index, marked)
		}
		if err == nil {
			return copied.pairs(), marked, nil
		}
		if !isPast(err) && !errors.Is(err, kvdb.ErrUnknownOutcome) || ctx.Err() != nil {
			return nil, 0, err
		}
	}
}

// mark returns an index of its own, which it gets by writing a hidden marker in dir.
func (s *store) mark(ctx context.Context, dir string) (uint64, error) {
	marker := driver.Write{Key: dir + "_kvdb-snapshot-" + rand.Text(), TTL: markerTTL}
	marked, err := s.set(ctx, marker, client.SetOptions{PrevExist: client.PrevNoExist})
	if err != nil {
		return 0, err
	}
	// A marker that is not removed expires.
	_, _ = s.remove(ctx, "/"+marker.Key, client.DeleteOptions{})
	return marked.Modified, nil
}

// moveOn advances a copy of the keys in dir from an index to that of a marker.
func (s *store) moveOn(ctx context.Context, g *generation, copied snapshot, dir string, prefixes []string, index, marked uint64) error {
	if index+1 == marked {
		return nil
	}
	// The marker itself is an event after the last one that the copy needs.
	return s.pool.follow(ctx, g, "/"+dir, true, index, marked-1, func(event *client.Response) (bool, error) {
		copied.replay(event, dir, prefixes)
		return true, nil
	})
}

// replay applies an event to a copy.
func (copied snapshot) replay(event *client.Response, dir string, prefixes []string) {
	key := keyOf(event.Node)
	switch {
	case isEndOfDirectory(event):
		maps.DeleteFunc(copied, func(below string, _ *kvdb.KVPair) bool { return strings.HasPrefix(below, key+"/") })
	case event.Node.Dir, !hasOne(key, prefixes), !isReadable(key), isHidden(key, dir):
	case isEnd(event):
		delete(copied, key)
	default:
		copied.put(event.Node)
	}
}

func (copied snapshot) put(n *client.Node) {
	pair := pairOf(n, 0)
	copied[pair.Key] = pair
}

// pairs returns the pairs in the order of their keys.
func (copied snapshot) pairs() kvdb.KVPairs {
	return slices.SortedFunc(maps.Values(copied), func(a, b *kvdb.KVPair) int { return strings.Compare(a.Key, b.Key) })
}

func hasOne(key string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

func commonPrefix(all []string) string {
	common := all[0]
	for _, s := range all[1:] {
		for !strings.HasPrefix(s, common) {
			common = common[:len(common)-1]
		}
	}
	return common
}
