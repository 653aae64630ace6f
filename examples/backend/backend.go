// Package backend is kvdb over a map: an example of a backend outside of kvdb's module.
// Each New makes a store of its own. It has no TTLs, watches and locks.
package backend

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/engine"
)

// Name is the name of the backend for kvdb.New.
const Name = "example-kv"

// Options is empty and not nil, because New reads no options of its own.
func init() { driver.Register(driver.Backend{Name: Name, New: New, Options: []string{}}) }

// New returns an instance over an empty store. Endpoints are not used.
func New(domain string, _ []string, options map[string]string, cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
	if _, err := driver.StaleReads(options); err != nil { // All reads are linearizable.
		return nil, err
	}
	s := &store{pairs: map[string]record{}}
	return engine.New(engine.Config{Name: Name, Domain: domain, Store: s, FatalCb: cb})
}

type record struct {
	value             []byte
	created, modified uint64
}

// store implements driver.Store.
type store struct {
	mu    sync.Mutex // protects the fields below
	pairs map[string]record
	index uint64 // of the last change
}

var (
	_ driver.Store       = (*store)(nil)
	_ driver.Snapshotter = (*store)(nil)
	_ driver.Transactor  = (*store)(nil)
)

func (s *store) Profile() driver.Profile {
	return driver.Profile{NoTTL: true, TxDeletes: true, Capabilities: kvdb.KVCapabilityOrderedUpdates}
}

// The methods without a context expect that their caller holds mu.

func (s *store) pair(key string, r record) *kvdb.KVPair {
	pair := driver.NewPair(r.value) // a copy
	pair.Key, pair.CreatedIndex, pair.ModifiedIndex, pair.KVDBIndex = key, r.created, r.modified, s.index
	return pair
}

func (s *store) check(key string, c driver.Cond) error {
	if r, exists := s.pairs[key]; exists {
		return c.Check(r.created, r.modified, r.value)
	}
	return c.CheckMissing()
}

func (s *store) set(key string, value []byte) driver.Indexes {
	s.index++
	r := record{bytes.Clone(value), s.index, s.index}
	if old, exists := s.pairs[key]; exists {
		r.created = old.created
	}
	s.pairs[key] = r
	return driver.Indexes{Created: r.created, Modified: r.modified}
}

func (s *store) remove(key string) *kvdb.KVPair {
	s.index++
	removed := s.pair(key, s.pairs[key])
	delete(s.pairs, key)
	return removed
}

// below returns the keys that have the prefix, sorted.
func (s *store) below(prefix string) []string {
	keys := slices.Sorted(maps.Keys(s.pairs))
	return slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, prefix) })
}

func (s *store) Get(_ context.Context, key string) (*kvdb.KVPair, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, exists := s.pairs[key]
	if !exists {
		return nil, kvdb.ErrNotFound
	}
	return s.pair(key, r), nil
}

func (s *store) List(_ context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := driver.Page{Pairs: kvdb.KVPairs{}, Index: s.index}
	for _, key := range s.below(prefix) {
		if page.More = o.Limit > 0 && len(page.Pairs) == o.Limit; page.More {
			break
		}
		if key >= o.From {
			page.Pairs = append(page.Pairs, s.pair(key, s.pairs[key]))
		}
	}
	return page, nil
}

func (s *store) Put(_ context.Context, w driver.Write) (driver.Indexes, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(w.Key, w.Cond); err != nil {
		return driver.Indexes{}, err
	}
	return s.set(w.Key, w.Value), nil
}

func (s *store) Delete(_ context.Context, key string, c driver.Cond) (*kvdb.KVPair, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Present = true
	if err := s.check(key, c); err != nil {
		return nil, err
	}
	return s.remove(key), nil
}

func (s *store) DeletePrefix(_ context.Context, prefix string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.below(prefix) {
		s.remove(key)
	}
	return nil
}

// Snapshot takes an index that no change has.
func (s *store) Snapshot(_ context.Context, prefixes []string, consistent bool) (pairs kvdb.KVPairs, index uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if consistent {
		s.index++
		index = s.index
	}
	for _, prefix := range prefixes {
		for _, key := range s.below(prefix) {
			pairs = append(pairs, s.pair(key, s.pairs[key]))
		}
	}
	return pairs, index, nil
}

func (s *store) Commit(_ context.Context, reads []driver.Read, writes []driver.Write, _ []driver.Lease) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, read := range reads {
		if s.pairs[read.Key].modified != read.Modified {
			return kvdb.ErrModified
		}
	}
	for _, w := range writes {
		if !w.Delete {
			s.set(w.Key, w.Value)
		} else if _, exists := s.pairs[w.Key]; exists {
			s.remove(w.Key)
		}
	}
	return nil
}

func (s *store) Watch(context.Context, driver.WatchRequest) (driver.Stream, error) {
	return nil, kvdb.ErrNotSupported
}

func (s *store) Lock(context.Context, string, string, time.Duration) (driver.Lease, error) {
	return nil, kvdb.ErrNotSupported
}

func (s *store) LockOwner(context.Context, string) (string, bool, error) {
	return "", false, kvdb.ErrNotSupported
}

func (s *store) Close(context.Context) error { return nil }
