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

// pathOf returns the prefix to ask for when prefix is wanted. It covers more when
// prefix ends in dots that are a component so far: Consul would clean the path
// of them.
func pathOf(prefix string) string {
	slash := strings.LastIndexByte(prefix, '/') + 1
	if isDots(prefix[slash:]) {
		return prefix[:slash]
	}
	return prefix
}

// values leaves out what is no value of ours, and what pathOf has covered too much.
func values(pairs api.KVPairs, prefix string) api.KVPairs {
	return slices.DeleteFunc(pairs, func(p *api.KVPair) bool {
		return !isValue(p) || !strings.HasPrefix(p.Key, prefix)
	})
}

// isValue reports whether a key has a value that Get returns.
func isValue(p *api.KVPair) bool { return !isLock(p) && takes(p.Key) }

// List implements driver.Store. Consul has no pages: it returns all.
func (s *store) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	m := s.mark()
	var pairs api.KVPairs
	index, err := s.conn.Query(ctx, s.stale, func(c *api.Client, q *api.QueryOptions) (meta *api.QueryMeta, err error) {
		pairs, meta, err = c.KV().List(pathOf(prefix), q)
		return meta, err
	})
	if err != nil {
		return driver.Page{}, err
	}
	index = s.since(m, s.stale, index)
	pairs = values(pairs, prefix)
	page := driver.Page{Pairs: make(kvdb.KVPairs, 0, len(pairs)), Index: index}
	listed := make([]kvdb.KVPair, len(pairs)) // one allocation for all
	for i, p := range pairs {
		if p.Key >= o.From {
			listed[i] = toPair(p, index)
			page.Pairs = append(page.Pairs, &listed[i])
		}
	}
	return page, nil
}

// Children implements driver.ChildLister. Locks are among the names: Consul's
// list of keys does not tell them from values.
func (s *store) Children(ctx context.Context, dir, sep string) ([]string, error) {
	path := pathOf(dir)
	cut := sep
	if path != dir {
		cut = ""
	}
	for {
		var keys []string
		_, err := s.conn.Query(ctx, s.stale, func(c *api.Client, q *api.QueryOptions) (meta *api.QueryMeta, err error) {
			keys, meta, err = c.KV().Keys(path, cut, q)
			return meta, err
		})
		if err != nil {
			return nil, err
		}
		if cut != "" && slices.Contains(keys, dir+sep) {
			// Names that begin with a separator: Consul has cut them to nothing.
			cut = ""
			continue
		}
		return names(keys, dir, sep), nil
	}
}

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
	// Not those of keys that are written again when the tree is gone.
	sessions := s.ttls.below(prefix)
	_, err := s.conn.Txn(ctx, conn.Once, api.TxnOps{op(api.KVTxnOp{Verb: api.KVDeleteTree, Key: prefix})})
	if err == nil {
		for _, session := range sessions {
			s.reap(session)
		}
	}
	return err
}
