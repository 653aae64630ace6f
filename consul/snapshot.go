package consul

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

// snapshotTimeout bounds a snapshot, which may be large.
const snapshotTimeout = time.Minute

// markOps is the number of operations of a snapshot that read nothing.
const markOps = 2

// Snapshot implements driver.Snapshotter.
func (s *store) Snapshot(ctx context.Context, prefixes []string, consistent bool) (kvdb.KVPairs, uint64, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, snapshotTimeout)
	defer cancel()
	switch {
	case !consistent:
		return s.copyEach(ctx, prefixes)
	case slices.Contains(prefixes, ""):
		return s.snapshotAll(ctx)
	case len(prefixes) > conn.MaxOps-markOps:
		common := commonPrefix(prefixes)
		if common == "" {
			return nil, 0, fmt.Errorf("%w: the snapshot has %d prefixes, the limit is %d", kvdb.ErrTooLarge, len(prefixes), conn.MaxOps-markOps)
		}
		return s.snapshot(ctx, []string{common}, prefixes)
	}
	return s.snapshot(ctx, prefixes, prefixes)
}

// snapshot reads the keys below paths in one transaction, and returns those that have one
// of the prefixes wanted.
func (s *store) snapshot(ctx context.Context, paths, wanted []string) (kvdb.KVPairs, uint64, error) {
	ops := trees(paths)
	// A write that the same transaction deletes gives the transaction an index of its own,
	// and no other client sees it.
	mark := "kvdb-snapshot-" + rand.Text()
	if len(paths) > 0 {
		mark = paths[0] + mark
	}
	ops = append(ops,
		op(api.KVTxnOp{Verb: api.KVSet, Key: mark}),
		op(api.KVTxnOp{Verb: api.KVDelete, Key: mark}))
	m := s.mark()
	// It may run twice, because it leaves nothing behind.
	pairs, err := s.conn.Txn(ctx, conn.Repeatable, ops)
	switch {
	case errors.Is(err, kvdb.ErrPermission):
		return s.snapshotWithoutMark(ctx, paths, wanted)
	case err != nil:
		return nil, 0, err
	}
	index := pairs[len(pairs)-1].ModifyIndex
	m.wrote(index)
	kept, err := s.keep(ctx, pairs[:len(pairs)-1], wanted)
	return kept, index, err
}

// snapshotWithoutMark is snapshot for a token that may only read. The index is that of
// the latest write in it, or a later one that the store had before.
func (s *store) snapshotWithoutMark(ctx context.Context, paths, wanted []string) (kvdb.KVPairs, uint64, error) {
	m := s.mark()
	some := "" // no key need exist there
	if len(paths) > 0 {
		some = pathOf(paths[0])
	}
	_, index, err := s.keys(ctx, false, some, kvdb.DefaultSeparator)
	if err != nil {
		return nil, 0, err
	}
	index = s.since(m, false, index)
	if len(paths) == 0 {
		return nil, index, nil
	}
	pairs, err := s.conn.Txn(ctx, conn.Repeatable, trees(paths))
	if err != nil {
		return nil, 0, err
	}
	for _, p := range pairs {
		index = max(index, p.ModifyIndex)
	}
	kept, err := s.keep(ctx, pairs, wanted)
	return kept, index, err
}

// trees returns the operations that read the keys below the paths.
func trees(paths []string) (ops api.TxnOps) {
	for _, path := range paths {
		ops = append(ops, op(api.KVTxnOp{Verb: api.KVGetTree, Key: path}))
	}
	return ops
}

// keep returns the pairs that have one of the prefixes and a value, with their TTLs.
func (s *store) keep(ctx context.Context, pairs []*api.KVPair, prefixes []string) (kept kvdb.KVPairs, err error) {
	var expiring expiring
	for _, p := range pairs {
		if isValue(p) && hasOne(p.Key, prefixes) {
			pair := toPair(p, 0)
			kept = append(kept, &pair)
			expiring.add(&pair, p)
		}
	}
	return kept, s.setTTLs(ctx, expiring)
}

// snapshotAll is a snapshot of all keys in Consul. A transaction cannot read a tree without
// a prefix, so it reads the trees of all first characters that exist.
func (s *store) snapshotAll(ctx context.Context) (kvdb.KVPairs, uint64, error) {
	first, err := s.firstCharacters(ctx)
	for backoff := conn.NewBackoff(); err == nil; err = backoff.Wait(ctx) {
		if len(first) > conn.MaxOps-markOps {
			return nil, 0, fmt.Errorf("%w: keys begin with %d characters, the limit is %d", kvdb.ErrTooLarge, len(first), conn.MaxOps-markOps)
		}
		pairs, index, err := s.snapshot(ctx, first, []string{""})
		if err != nil {
			return nil, 0, err
		}
		// A key with another first character may have been created since.
		now, err := s.firstCharacters(ctx)
		if err != nil {
			return nil, 0, err
		}
		if !slices.ContainsFunc(now, func(c string) bool { return !slices.Contains(first, c) }) {
			return pairs, index, nil
		}
		first = now
	}
	return nil, 0, err
}

func (s *store) firstCharacters(ctx context.Context) ([]string, error) {
	keys, _, err := s.keys(ctx, false, "", "")
	first := []string{}
	for _, key := range keys {
		_, size := utf8.DecodeRuneInString(key)
		first = append(first, key[:size])
	}
	slices.Sort(first)
	return slices.Compact(first), err
}

// copyEach reads the pairs below each prefix, one prefix after the other.
func (s *store) copyEach(ctx context.Context, prefixes []string) (kvdb.KVPairs, uint64, error) {
	var copied api.KVPairs
	for _, prefix := range prefixes {
		pairs, _, err := s.list(ctx, s.stale, prefix)
		if err != nil {
			return nil, 0, err
		}
		copied = append(copied, pairs...)
	}
	kept, err := s.keep(ctx, copied, prefixes)
	return kept, 0, err
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
	for !utf8.ValidString(common) {
		common = common[:len(common)-1]
	}
	return common
}
