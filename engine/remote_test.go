package engine_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

// remote is a store that is a client of a server, like the network stores. The only
// optional interface that it implements is driver.Snapshotter.
type remote struct {
	*server
	profile driver.Profile
	// folded means that a watch may get several updates of one key as one event, and gets
	// no deletions that precede it.
	folded bool
	// lockSharesKey means that a key has a lock or a value, not both.
	lockSharesKey bool

	session interface { // protected by the server's mu
		Lock(context.Context, string, string, time.Duration) (driver.Lease, error)
		Held([]driver.Lease, func() error) error
		Close()
	}
	watches    context.Context // protected by the server's mu
	endWatches context.CancelCauseFunc
}

func (s *server) connect(profile driver.Profile) *remote {
	r := &remote{server: s, profile: profile, session: s.locks.NewSession(s.bump)}
	r.watches, r.endWatches = context.WithCancelCause(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[r] = struct{}{}
	return r
}

func (r *remote) Profile() driver.Profile { return r.profile }

func (r *remote) Close(context.Context) error {
	r.mu.Lock()
	delete(r.clients, r)
	session := r.session
	r.mu.Unlock()
	session.Close()
	return nil
}

func newPair(key string, r *tree.Record, index uint64) *kvdb.KVPair {
	pair := driver.NewPair(r.Value)
	pair.Key, pair.CreatedIndex, pair.ModifiedIndex, pair.KVDBIndex = key, r.Created, r.Modified, index
	return pair
}

// newPairTTL is newPair with the remaining TTL.
func newPairTTL(key string, r *tree.Record, index uint64) *kvdb.KVPair {
	pair := newPair(key, r, index)
	pair.TTL = r.TTL(time.Now().UnixNano())
	return pair
}

func (r *remote) Get(ctx context.Context, key string) (*kvdb.KVPair, error) {
	if err := r.reach(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.tree.Get(key)
	if record == nil {
		return nil, kvdb.ErrNotFound
	}
	return newPair(key, record, r.index), nil
}

func (r *remote) List(ctx context.Context, prefix string, o driver.ListOptions) (driver.Page, error) {
	if err := r.reach(ctx); err != nil {
		return driver.Page{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	page := driver.Page{Pairs: kvdb.KVPairs{}, Index: r.index}
	r.tree.Scan(prefix, o.From, func(key string, record *tree.Record) bool {
		page.More = o.Limit > 0 && len(page.Pairs) == o.Limit
		if page.More {
			return false
		}
		pair := newPair(key, record, r.index)
		if o.TTL {
			pair = newPairTTL(key, record, r.index)
		}
		page.Pairs = append(page.Pairs, pair)
		return true
	})
	return page, nil
}

func check(record *tree.Record, c driver.Cond) error {
	if record == nil {
		return c.CheckMissing()
	}
	return c.Check(record.Created, record.Modified, record.Value)
}

func (r *remote) Put(ctx context.Context, w driver.Write) (indexes driver.Indexes, err error) {
	record := tree.NewRecord(w.Value)
	err = r.write(ctx, func() error {
		if err := check(r.tree.Get(w.Key), w.Cond); err != nil {
			return err
		}
		r.set(w.Key, record, w.TTL)
		indexes = driver.Indexes{Created: record.Created, Modified: record.Modified}
		return nil
	})
	return indexes, err
}

func (r *remote) Delete(ctx context.Context, key string, c driver.Cond) (pair *kvdb.KVPair, err error) {
	c.Present = true
	err = r.write(ctx, func() error {
		if err := check(r.tree.Get(key), c); err != nil {
			return err
		}
		pair = newPair(key, r.remove(key), r.index)
		return nil
	})
	return pair, err
}

func (r *remote) DeletePrefix(ctx context.Context, prefix string) error {
	return r.write(ctx, func() error {
		var keys []string
		r.tree.Scan(prefix, "", func(key string, _ *tree.Record) bool {
			keys = append(keys, key)
			return true
		})
		for _, key := range keys {
			r.remove(key)
		}
		return nil
	})
}

func (r *remote) Snapshot(ctx context.Context, prefixes []string, consistent bool) (pairs kvdb.KVPairs, index uint64, err error) {
	ctx, cancel := driver.WithTimeLimit(ctx, callLimit)
	defer cancel()
	err = r.write(ctx, func() error {
		for _, prefix := range prefixes {
			r.tree.Scan(prefix, "", func(key string, record *tree.Record) bool {
				pairs = append(pairs, newPairTTL(key, record, r.index))
				return true
			})
		}
		if consistent {
			r.index++
			index = r.index
		}
		return nil
	})
	return pairs, index, err
}

func (r *remote) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	for deadline := time.Now().Add(wait); ; {
		reachCtx, cancel := driver.WithTimeLimit(ctx, max(time.Until(deadline), callLimit))
		err := r.reach(reachCtx)
		cancel()
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		session, taken := r.session, r.lockSharesKey && r.tree.Get(key) != nil
		r.mu.Unlock()
		if taken {
			return nil, kvdb.ErrInvalidLock
		}
		lease, err := session.Lock(ctx, key, owner, time.Until(deadline))
		r.mu.Lock()
		expired := session != r.session
		r.mu.Unlock()
		if err == nil {
			return expiring{lease}, nil
		}
		if err != kvdb.ErrClosed || !expired {
			return nil, err
		}
	}
}

// expiring is a lease whose session ends when the client is cut off.
type expiring struct{ driver.Lease }

func (expiring) LossReason() string { return kvdb.LockExpired }

func (r *remote) LockOwner(ctx context.Context, key string) (string, bool, error) {
	if err := r.reach(ctx); err != nil {
		return "", false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lockSharesKey && r.tree.Get(key) != nil {
		return "", false, kvdb.ErrInvalidLock
	}
	owner, held := r.locks.Owner(key)
	return owner, held, nil
}

func (r *remote) Watch(ctx context.Context, request driver.WatchRequest) (driver.Stream, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &stream{remote: r}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	stop := s.cancel
	s.detach = context.AfterFunc(r.watches, func() { stop(kvdb.ErrNoConnection) })
	if r.folded && request.After > 0 {
		s.past = r.changedSince(request)
	}
	s.after = request.After
	if r.folded || request.After == 0 {
		s.after = max(r.index, request.After)
		request.After = max(r.index, 1)
	}
	var err error
	s.Stream, err = r.log.Watch(s.ctx, request)
	return s, err
}

// changedSince returns an event for each key that changed after the index of a watch, with
// its latest state. The caller holds the server's mu.
func (r *remote) changedSince(request driver.WatchRequest) (events []*kvdb.KVPair) {
	r.tree.Scan(request.Key, "", func(key string, record *tree.Record) bool {
		if record.Modified > request.After && (request.Prefix || key == request.Key) {
			pair := newPair(key, record, record.Modified)
			pair.Action = kvdb.KVSet
			if record.Created > request.After {
				pair.Action = kvdb.KVCreate
			}
			events = append(events, pair)
		}
		return true
	})
	slices.SortFunc(events, func(a, b *kvdb.KVPair) int { return int(a.ModifiedIndex) - int(b.ModifiedIndex) })
	return events
}

// stream is a watch over the network. It gets no events during an outage.
type stream struct {
	driver.Stream
	remote *remote
	ctx    context.Context
	cancel context.CancelCauseFunc
	detach func() bool
	past   []*kvdb.KVPair
	after  uint64
}

func (s *stream) Next() ([]*kvdb.KVPair, error) {
	if past := s.past; past != nil {
		s.past = nil
		return past, nil
	}
	events, err := s.Stream.Next()
	if err != nil {
		return nil, err
	}
	if err := s.remote.reach(s.ctx); err != nil {
		return nil, err
	}
	var received []*kvdb.KVPair
	for _, event := range events {
		if event.ModifiedIndex <= s.after {
			continue
		}
		if event.Action == kvdb.KVDelete {
			event.Value = nil
		}
		received = append(received, event)
	}
	if s.remote.folded {
		received = fold(received)
	}
	return received, nil
}

// fold replaces a write and the updates that follow it by one event.
func fold(events []*kvdb.KVPair) (folded []*kvdb.KVPair) {
	last := map[string]*kvdb.KVPair{}
	for _, event := range events {
		if before := last[event.Key]; before != nil && event.Action == kvdb.KVSet {
			event.Action = before.Action
			folded = slices.DeleteFunc(folded, func(other *kvdb.KVPair) bool { return other == before })
		}
		last[event.Key] = event
		if event.Action == kvdb.KVDelete {
			delete(last, event.Key)
		}
		folded = append(folded, event)
	}
	return folded
}

func (s *stream) Close() {
	s.detach()
	s.cancel(nil)
	s.Stream.Close()
}

// foldSlashes is a CheckKey that turns repeated slashes into one.
func foldSlashes(key string) (string, error) {
	var parts []string
	for part := range strings.SplitSeq(key, "/") {
		switch {
		case part == "." || part == "..":
			return "", errors.New("a component is . or ..")
		case strings.ContainsRune(part, 0):
			return "", errors.New("it has a NUL byte")
		case part != "":
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/"), nil
}

// foldPrefix is foldSlashes for prefixes, which may end in a slash.
func foldPrefix(prefix string) (string, error) {
	folded, err := foldSlashes(prefix)
	if err == nil && folded != "" && strings.HasSuffix(prefix, "/") {
		folded += "/"
	}
	return folded, err
}

// transactor is a remote with transactions, remaining TTLs and a history that can be compacted.
type transactor struct{ *remote }

func (t *transactor) TTL(ctx context.Context, key string) (remaining time.Duration, has bool, err error) {
	if err := t.reach(ctx); err != nil {
		return 0, false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	record := t.tree.Get(key)
	if record == nil {
		return 0, false, kvdb.ErrNotFound
	}
	remaining, has = record.Remaining(time.Now().UnixNano())
	return remaining, has, nil
}

func (t *transactor) Compact(ctx context.Context, index uint64) error {
	return t.write(ctx, func() error { t.log.Compact(index); return nil })
}

func (t *transactor) Commit(ctx context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	t.mu.Lock()
	session := t.session
	t.mu.Unlock()
	inner := make([]driver.Lease, len(locks))
	for i, lock := range locks {
		inner[i] = lock.(expiring).Lease
	}
	return session.Held(inner, func() error {
		return t.write(ctx, func() error {
			for _, read := range reads {
				record := t.tree.Get(read.Key)
				if record == nil && read.Modified != 0 || record != nil && record.Modified != read.Modified {
					return kvdb.ErrModified
				}
			}
			for _, w := range writes {
				if w.Delete {
					if t.tree.Get(w.Key) != nil {
						t.remove(w.Key)
					}
					continue
				}
				t.set(w.Key, &tree.Record{Value: bytes.Clone(w.Value)}, w.TTL)
			}
			return nil
		})
	})
}
