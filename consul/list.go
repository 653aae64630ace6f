package consul

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

// list reads the values that have a prefix, and returns them with the index of the reply.
func (s *store) list(ctx context.Context, stale bool, prefix string) (api.KVPairs, uint64, error) {
	pairs, index, err := conn.Query(ctx, s.conn, stale, func(c *api.Client, q *api.QueryOptions) (api.KVPairs, *api.QueryMeta, error) {
		return c.KV().List(pathOf(prefix), q)
	})
	return values(pairs, prefix), index, err
}

// keys reads the keys that have a prefix, each only up to the next sep behind it, and
// returns them with the index of the reply.
func (s *store) keys(ctx context.Context, stale bool, prefix, sep string) ([]string, uint64, error) {
	return conn.Query(ctx, s.conn, stale, func(c *api.Client, q *api.QueryOptions) ([]string, *api.QueryMeta, error) {
		return c.KV().Keys(prefix, sep, q)
	})
}

// List implements driver.Store. It returns everything in one page, because Consul has
// no pages.
func (s *store) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	m := s.mark()
	pairs, index, err := s.list(ctx, s.stale, prefix)
	if err != nil {
		return driver.Page{}, err
	}
	index = s.since(m, s.stale, index)
	page := driver.Page{Pairs: make(kvdb.KVPairs, 0, len(pairs)), Index: index}
	listed := make([]kvdb.KVPair, len(pairs)) // one allocation for all
	var expiring expiring
	for i, p := range pairs {
		if p.Key >= o.From {
			listed[i] = toPair(p, index)
			page.Pairs = append(page.Pairs, &listed[i])
			if o.TTL {
				expiring.add(&listed[i], p)
			}
		}
	}
	return page, s.setTTLs(ctx, expiring)
}

// Children implements driver.ChildLister. Locks are among the names, because Consul's
// list of keys does not distinguish them from values.
func (s *store) Children(ctx context.Context, dir, sep string) ([]string, error) {
	path := pathOf(dir)
	cut := sep
	if path != dir {
		cut = ""
	}
	for {
		keys, _, err := s.keys(ctx, s.stale, path, cut)
		if err != nil {
			return nil, err
		}
		if cut != "" && slices.Contains(keys, dir+sep) {
			// There are names that begin with a separator, which Consul has cut to nothing.
			cut = ""
			continue
		}
		return names(keys, dir, sep), nil
	}
}

// names returns the names of the children of dir among keys, sorted.
func names(keys []string, dir, sep string) []string {
	names := []string{}
	for _, key := range keys {
		rest, below := strings.CutPrefix(key, dir)
		if name := driver.ChildName(rest, sep); below && name != "" && takes(key) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// DeletePrefix implements driver.Store. Locks below the prefix are removed too.
func (s *store) DeletePrefix(ctx context.Context, prefix string) error {
	// Collected before the deletion, because the keys may be written again after it.
	sessions := s.ttls.below(prefix)
	_, err := s.conn.Txn(ctx, conn.Once, api.TxnOps{op(api.KVTxnOp{Verb: api.KVDeleteTree, Key: prefix})})
	if err == nil {
		for _, session := range sessions {
			s.endSession(session)
		}
	}
	return err
}
