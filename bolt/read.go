package bolt

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// ctxSteps is the number of keys after which a scan checks its context.
const ctxSteps = 1024

// Get implements driver.Store.
func (s *store) Get(ctx context.Context, key string) (pair *kvdb.KVPair, err error) {
	err = s.visit(ctx, key, func(r *tree.Record, index uint64, now int64) {
		pair = newPair(key, r, index)
		pair.TTL = r.TTL(now)
	})
	return pair, err
}

// TTL implements driver.TTLReader.
func (s *store) TTL(ctx context.Context, key string) (remaining time.Duration, has bool, err error) {
	err = s.visit(ctx, key, func(r *tree.Record, _ uint64, now int64) {
		remaining, has = r.Remaining(now)
	})
	return remaining, has, err
}

// visit calls f with the record at key, the index of the file, and the time, which is 0 if the
// record has no TTL. The record is valid only during the call.
func (s *store) visit(ctx context.Context, key string, f func(r *tree.Record, index uint64, now int64)) error {
	if ctx.Err() != nil {
		return driver.WithCause(ctx, nil)
	}
	return s.db.view(func(tx *bbolt.Tx) error {
		pairs := tx.Bucket(pairsBucket)
		encoded := pairs.Get([]byte(key))
		if encoded == nil {
			return kvdb.ErrNotFound
		}
		r, err := decodeRecord(encoded)
		if err != nil {
			return unreadable(s.db.path, []byte(key), err)
		}
		now := int64(0)
		if r.Expires != 0 {
			now = time.Now().UnixNano()
		}
		if expired(r, now) {
			return kvdb.ErrNotFound
		}
		f(&r, pairs.Sequence(), now)
		return nil
	})
}

// newPair returns a copy of r without its TTL.
func newPair(key string, r *tree.Record, index uint64) *kvdb.KVPair {
	pair := driver.NewPair(r.Value)
	pair.Key, pair.KVDBIndex = key, index
	pair.CreatedIndex, pair.ModifiedIndex = r.Created, r.Modified
	return pair
}

// cursor has the methods of a bbolt.Cursor that a scan uses.
type cursor interface {
	Seek(key []byte) (k, v []byte)
	Next() (k, v []byte)
}

// scan iterates over the pairs that have not expired, in the order of keys.
type scan struct {
	ctx   context.Context
	path  string // of the file, for errors
	c     cursor
	now   int64 // Unix time in ns
	steps int
}

func (db *database) newScan(ctx context.Context, pairs *bbolt.Bucket) *scan {
	return &scan{ctx: ctx, path: db.path, c: pairs.Cursor(), now: time.Now().UnixNano()}
}

// each calls visit with the pairs whose key has prefix and is not before from,
// until visit returns false. Key and value are only valid during the call.
func (s *scan) each(prefix, from string, visit func(key []byte, r tree.Record) bool) error {
	p, start := []byte(prefix), []byte(max(prefix, from))
	for key, encoded := s.c.Seek(start); key != nil && bytes.HasPrefix(key, p); key, encoded = s.c.Next() {
		if s.steps++; s.steps%ctxSteps == 0 && s.ctx.Err() != nil {
			return driver.WithCause(s.ctx, nil)
		}
		r, err := decodeRecord(encoded)
		if err != nil {
			return unreadable(s.path, key, err)
		}
		if !expired(r, s.now) && !visit(key, r) {
			return nil
		}
	}
	return nil
}

// List implements driver.Store.
func (s *store) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	page := driver.Page{Pairs: kvdb.KVPairs{}}
	err := s.db.view(func(tx *bbolt.Tx) error {
		pairs := tx.Bucket(pairsBucket)
		page.Index = pairs.Sequence()
		return s.db.newScan(ctx, pairs).list(&page, prefix, o)
	})
	if err != nil {
		return driver.Page{}, err
	}
	return page, nil
}

// found is a pair that a scan found. It is valid only during the scan.
type found struct {
	key    []byte
	record tree.Record
}

// groupSize is the number of pairs that share allocations. They can only be
// garbage-collected together.
const groupSize = 64

func (s *scan) list(page *driver.Page, prefix string, o driver.ListOptions) error {
	group := make([]found, 0, groupSize)
	err := s.each(prefix, o.From, func(key []byte, r tree.Record) bool {
		if o.KeysOnly {
			r.Value = nil
		}
		if page.More = o.Limit > 0 && len(page.Pairs)+len(group) == o.Limit; page.More {
			return false
		}
		if len(group) == groupSize {
			page.Pairs = appendPairs(page.Pairs, group, page.Index, s.now)
			group = group[:0]
		}
		group = append(group, found{key, r})
		return true
	})
	page.Pairs = appendPairs(page.Pairs, group, page.Index, s.now)
	return err
}

// appendPairs appends copies of the pairs in group. now is the time of the scan.
func appendPairs(pairs kvdb.KVPairs, group []found, index uint64, now int64) kvdb.KVPairs {
	keySize, valueSize := 0, 0
	for i := range group {
		keySize += len(group[i].key)
		valueSize += len(group[i].record.Value)
	}
	var keys strings.Builder
	keys.Grow(keySize)
	for i := range group {
		keys.Write(group[i].key)
	}
	key, values := keys.String(), make([]byte, valueSize)
	slab := make([]kvdb.KVPair, len(group))
	for i := range group {
		f := &group[i]
		keySize, valueSize = len(f.key), copy(values, f.record.Value)
		slab[i] = kvdb.KVPair{
			Key: key[:keySize], Value: values[:valueSize:valueSize], KVDBIndex: index,
			CreatedIndex: f.record.Created, ModifiedIndex: f.record.Modified, TTL: f.record.TTL(now),
		}
		key, values = key[keySize:], values[valueSize:]
		pairs = append(pairs, &slab[i])
	}
	return pairs
}

// Children implements driver.ChildLister.
func (s *store) Children(ctx context.Context, dir, sep string) (names []string, err error) {
	err = s.db.view(func(tx *bbolt.Tx) error {
		names, err = s.db.newScan(ctx, tx.Bucket(pairsBucket)).children(dir, sep)
		return err
	})
	return names, err
}

// children returns the first-level names below dir. It skips the keys below a name in one
// step.
func (s *scan) children(dir, sep string) ([]string, error) {
	names, last := make([]string, 0, 64), ""
	sorted := true           // names is in order without duplicates
	var text strings.Builder // names are slices of it, to save allocations
	text.Grow(512)
	for from, more := "", true; more; {
		more = false
		err := s.each(dir, from, func(key []byte, _ tree.Record) bool {
			start := text.Len()
			text.Write(key[len(dir):])
			rest := text.String()[start:]
			name := driver.ChildName(rest, sep)
			if name == "" {
				return true
			}
			names = append(names, name)
			sorted, last = sorted && last < name, name
			if name == rest {
				return true
			}
			from, more = tree.After(dir + name + sep)
			return false
		})
		if err != nil {
			return nil, err
		}
	}
	if sorted {
		return names, nil
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
