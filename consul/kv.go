package consul

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

// Get implements driver.Store.
func (s *store) Get(ctx context.Context, key string) (*kvdb.KVPair, error) {
	pair, index, err := s.read(ctx, key, s.stale)
	switch {
	case err != nil:
		return nil, err
	case pair == nil || isLock(pair):
		return nil, kvdb.ErrNotFound
	}
	got := toPair(pair, index)
	return &got, nil
}

// look returns what is at a key now, nil for nothing.
func (s *store) look(ctx context.Context, key string) (*api.KVPair, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, driver.CallTimeout) // the caller may be Lock, which has none
	defer cancel()
	pair, _, err := s.read(ctx, key, false)
	return pair, err
}

// read returns what is at a key, nil for nothing, and an index for which since's
// promise holds.
func (s *store) read(ctx context.Context, key string, stale bool) (pair *api.KVPair, index uint64, err error) {
	m := s.mark()
	pair, index, err = conn.Query(ctx, s.conn, stale, func(c *api.Client, q *api.QueryOptions) (*api.KVPair, *api.QueryMeta, error) {
		return c.KV().Get(key, q)
	})
	if err != nil {
		return nil, 0, err
	}
	if !stale {
		m.found(pair, index)
	}
	return pair, s.since(m, stale, index), nil
}

// since returns an index up to which a reply has all writes. index is the reply's own,
// which is only that of the last change to what was read; but a linearizable read has
// all writes that were seen before it began. The index of a stale read is not noted,
// because a server may have applied a write that the leader has not applied yet.
func (s *store) since(m mark, stale bool, index uint64) uint64 {
	if stale {
		return index
	}
	m.history.saw(index)
	if m.history != s.history.Load() {
		return index
	}
	return max(index, m.seen)
}

// blockingGet waits until a key that had the index changes, and returns what is there
// and the index from which to wait for the next change. With index 0 it does not wait.
// It also returns when Consul ends the blocking query without a change.
func (s *store) blockingGet(ctx context.Context, key string, index uint64) (now *api.KVPair, next uint64, err error) {
	m := s.mark()
	err = s.conn.Block(ctx, func(ctx context.Context, c *api.Client) error {
		q := conn.Consistent(ctx)
		if index > 0 {
			q.WaitIndex, q.WaitTime = index, conn.MaxWait
		}
		pair, meta, err := c.KV().Get(key, q)
		if err == nil {
			now, next = pair, meta.LastIndex
			m.found(now, next)
		}
		return err
	})
	return now, next, err
}

// Put implements driver.Store.
func (s *store) Put(ctx context.Context, dw driver.Write) (driver.Indexes, error) {
	leave, err := s.life.Enter()
	if err != nil {
		return driver.Indexes{}, err
	}
	defer leave()
	m := s.mark()
	w := write{key: dw.Key, value: dw.Value, ttl: dw.TTL}
	if err := s.createTTLSession(ctx, &w); err != nil {
		return driver.Indexes{}, err
	}
	pair, err := s.put(ctx, w, dw.Cond)
	if errors.Is(err, kvdb.ErrUnknownOutcome) && w.session != "" {
		// The key's session shows whether our write happened.
		if now, lookErr := s.look(ctx, w.key); lookErr == nil && now != nil && now.Session == w.session {
			pair, err = now, nil
		}
	}
	s.noteTTL(w, err)
	if err != nil {
		return driver.Indexes{}, err
	}
	m.wrote(pair.ModifyIndex)
	return driver.Indexes{Created: pair.CreateIndex, Modified: pair.ModifyIndex}, nil
}

func (s *store) put(ctx context.Context, w write, c driver.Cond) (*api.KVPair, error) {
	if w.session == "" && w.isLarge() {
		return s.putLarge(ctx, w, c)
	}
	results, err := s.retryCAS(ctx, w.key, c, s.opsWithoutRead(ctx, w, c), w.opsOver)
	if err != nil {
		return nil, err
	}
	return results[len(results)-1], nil
}

// retryCAS commits ops, unless nil. As long as they conflict with what is at the key it
// reads that, and commits what opsOver returns for it, if c holds for it. It returns
// what the operations have returned.
func (s *store) retryCAS(ctx context.Context, key string, c driver.Cond, ops api.TxnOps,
	opsOver func(p *api.KVPair) api.TxnOps) ([]*api.KVPair, error) {
	var over *api.KVPair
	backoff := conn.NewBackoff()
	for try := 0; ; try++ {
		if ops != nil {
			results, err := s.conn.Txn(ctx, conn.Once, ops)
			switch {
			case err == nil && over == nil && isFree(results[0]):
				return nil, s.undo(ctx, key, c, results[len(results)-1].ModifyIndex)
			case err == nil:
				s.endSessionOf(over)
				return results, nil
			}
			if !conn.IsConflict(err) {
				return nil, err
			}
			if try > 2 { // other writers are faster, or Consul's lock delay prevents it
				if backoff.Wait(ctx) != nil {
					return nil, driver.NotReached(ctx, err)
				}
			}
		}
		var err error
		if over, err = s.lookIf(ctx, key, c); err != nil {
			return nil, err
		}
		ops = opsOver(over)
	}
}

// lookIf is look, and returns an error when c does not hold for what is at the key, or
// that is a lock which somebody holds.
func (s *store) lookIf(ctx context.Context, key string, c driver.Cond) (*api.KVPair, error) {
	p, err := s.look(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := check(c, p); err != nil {
		return nil, err
	}
	return p, s.checkHolder(ctx, p)
}

// undo removes what opsWithoutRead's operations have written over a lock that nobody
// held, at that index. Their guards do not distinguish such a lock from a value.
func (s *store) undo(ctx context.Context, key string, c driver.Cond, index uint64) error {
	if _, err := s.conn.Txn(ctx, conn.Once, opsDelete(key, index)); err != nil && !conn.IsConflict(err) {
		return hadEffect(ctx, err)
	}
	return c.CheckMissing()
}

// Delete implements driver.Store.
func (s *store) Delete(ctx context.Context, key string, c driver.Cond) (*kvdb.KVPair, error) {
	m := s.mark()
	c.Present = true
	// The operation of the deletion returns neither what it has deleted nor its index.
	// Random flags make the write before it a change.
	deletion := api.TxnOps{
		op(api.KVTxnOp{Verb: api.KVGet, Key: key}),
		op(api.KVTxnOp{Verb: api.KVSet, Key: key, Flags: rand.Uint64()}),
		op(api.KVTxnOp{Verb: api.KVDelete, Key: key}),
	}
	var ops api.TxnOps
	if c.Created == 0 && !c.HasValue && !c.NeedsNoKey() {
		ops = append(ifPlain(key, c.Modified), deletion...)
	}
	opsOver := func(p *api.KVPair) api.TxnOps {
		unchanged := op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: p.ModifyIndex})
		return append(api.TxnOps{unchanged}, deletion...)
	}
	results, err := s.retryCAS(ctx, key, c, ops, opsOver)
	if err != nil {
		return nil, err
	}
	old, index := results[len(results)-2], results[len(results)-1].ModifyIndex
	m.wrote(index)
	pair := toPair(old, index)
	return &pair, nil
}
