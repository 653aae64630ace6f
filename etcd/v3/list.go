package etcdv3

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

const (
	// firstPage is the number of pairs in the first request, when their size is not
	// known yet. Later requests are for about pageBytes.
	firstPage = 2_000
	pageBytes = 8 << 20
)

func (s *store) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	for try := 0; ; try++ {
		page, err := s.list(ctx, prefix, o, try)
		if !errors.Is(err, kvdb.ErrWatchRevisionCompacted) {
			return page, err
		}
		o.At = 0 // The revision that the list began at is compacted, so begin anew.
	}
}

func (s *store) list(ctx context.Context, prefix string, o driver.ListOptions, try int) (driver.Page, error) {
	page := driver.Page{Pairs: kvdb.KVPairs{}, Index: o.At}
	expiring := leased{}
	err := s.scan(ctx, prefix, o, try, func(kvs []*mvccpb.KeyValue, revision int64, more bool) bool {
		page.Index = uint64(revision)
		if room := o.Limit - len(page.Pairs); o.Limit > 0 && len(kvs) > room {
			kvs, more = kvs[:room], true
		}
		before := len(page.Pairs)
		page.Pairs = appendPairs(page.Pairs, kvs, revision)
		if o.TTL {
			expiring.add(page.Pairs[before:], kvs)
		}
		// A page with More must have a pair, but all pairs scanned so far may have been
		// locks.
		page.More = more && o.Limit > 0 && len(page.Pairs) > 0
		return !page.More
	})
	if err != nil {
		return driver.Page{}, err
	}
	return page, s.setTTLs(ctx, expiring)
}

// appendPairs appends the pairs of a reply.
func appendPairs(pairs kvdb.KVPairs, kvs []*mvccpb.KeyValue, revision int64) kvdb.KVPairs {
	pairs = slices.Grow(pairs, len(kvs))
	slab := make([]kvdb.KVPair, len(kvs)) // one allocation
	for i, key := range keyStrings(kvs) {
		slab[i] = *keyedPair(key, kvs[i], revision)
		pairs = append(pairs, &slab[i])
	}
	return pairs
}

// Children implements driver.ChildLister.
func (s *store) Children(ctx context.Context, dir, sep string) ([]string, error) {
	for try := 0; ; try++ {
		names, last := []string{}, ""
		err := s.scan(ctx, dir, driver.ListOptions{KeysOnly: true}, try, func(kvs []*mvccpb.KeyValue, _ int64, _ bool) bool {
			for _, kv := range kvs {
				rest := kv.Key[len(dir):]
				if last != "" && bytes.HasPrefix(rest, []byte(last)) && bytes.HasPrefix(rest[len(last):], []byte(sep)) {
					continue // another key below the same child
				}
				if last = driver.ChildName(string(rest), sep); last != "" {
					names = append(names, last)
				}
			}
			return true
		})
		switch {
		case errors.Is(err, kvdb.ErrWatchRevisionCompacted): // Compacted meanwhile: try again.
		case err != nil:
			return nil, err
		default:
			slices.Sort(names) // The key a-b/c sorts before a/b, but the name a before a-b.
			return slices.Compact(names), nil
		}
	}
}

// scan calls visit with the pairs that the options ask for, one call per request,
// all at one revision and without locks and markers. It ends when visit returns
// false. A compaction ends a try; from the third try on, one request asks for all
// pairs.
func (s *store) scan(ctx context.Context, prefix string, o driver.ListOptions, try int,
	visit func(kvs []*mvccpb.KeyValue, revision int64, more bool) bool) error {
	keys := below(prefix)
	if o.From > prefix {
		keys.key = []byte(o.From)
	}
	r := &pb.RangeRequest{
		Key: keys.key, RangeEnd: keys.end, KeysOnly: o.KeysOnly, Revision: int64(o.At), Limit: firstPage,
		// Later requests name a revision, which a lagging member may not have.
		Serializable: s.stale && o.At == 0,
	}
	if o.Limit > 0 || try >= 2 {
		r.Limit = int64(o.Limit)
	}
	heldLocks := sync.OnceValues(func() ([]string, error) { return s.heldLocks(ctx, prefix, r.Revision) })
	for {
		reply, err := s.rangeOf(ctx, r)
		if err != nil {
			return err
		}
		if r.Revision == 0 {
			r.Revision, r.Serializable = reply.Header.Revision, false
		}
		if reply.More { // Before the locks and markers of the reply are removed.
			r.Key = append(bytes.Clone(reply.Kvs[len(reply.Kvs)-1].Key), 0)
			r.Limit = nextLimit(reply)
		}
		kvs, err := s.withoutLocks(reply.Kvs, o.KeysOnly, heldLocks)
		if err != nil {
			return err
		}
		if !visit(kvs, r.Revision, reply.More) || !reply.More {
			return nil
		}
	}
}

// nextLimit returns how many pairs of the same size as those of reply make a page.
func nextLimit(reply *pb.RangeResponse) int64 {
	return max(1, pageBytes*int64(len(reply.Kvs))/int64(max(1, reply.Size())))
}

// withoutLocks returns kvs without locks and markers; it reuses kvs. When kvs has no
// values, heldLocks returns the keys that are locks.
func (s *store) withoutLocks(kvs []*mvccpb.KeyValue, keysOnly bool, heldLocks func() ([]string, error)) ([]*mvccpb.KeyValue, error) {
	kvs = slices.DeleteFunc(kvs, func(kv *mvccpb.KeyValue) bool { return isMarker(kv.Key) })
	if !slices.ContainsFunc(kvs, s.maybeLock) {
		return kvs, nil
	}
	if !keysOnly {
		return slices.DeleteFunc(kvs, s.isLock), nil
	}
	locks, err := heldLocks()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(kvs, func(kv *mvccpb.KeyValue) bool {
		_, lock := slices.BinarySearch(locks, string(kv.Key))
		return lock
	}), nil
}

// heldLocks returns the keys of the locks below prefix, sorted.
func (s *store) heldLocks(ctx context.Context, prefix string, revision int64) ([]string, error) {
	keys, _ := s.lockRange(prefix)
	reply, err := s.rangeOf(ctx, &pb.RangeRequest{Key: keys.key, RangeEnd: keys.end, Revision: revision})
	if err != nil {
		return nil, err
	}
	var locks []string
	for _, kv := range reply.Kvs {
		if s.isLock(kv) {
			locks = append(locks, string(kv.Key))
		}
	}
	return locks, nil
}
