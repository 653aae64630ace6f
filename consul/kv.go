package consul

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

const (
	// lockFlags are those of a key that is a lock, also with Consul's own client.
	lockFlags = api.LockFlagValue
	// ttlFlags are those of a value with a TTL. Other releases have 0 there, and
	// do not look.
	ttlFlags = 0x6b7664622d74746c // "kvdb-ttl"
	// touchFlags are those of a write that another one in the same transaction
	// writes over. Consul leaves out a write that changes nothing; so two that
	// differ are a change, whatever was there.
	touchFlags = 1
)

// isLock reports whether a key is a lock, held or left behind by another program.
// The flags alone do not make one, because the values that earlier releases have
// written with Create or CompareAndSet have them too. But Consul sets LockIndex
// to 0 at each write that neither takes nor gives up a lock.
func isLock(p *api.KVPair) bool { return p.Flags == lockFlags && p.LockIndex > 0 }

// isFree reports whether a key is a lock that nobody holds. Consul's own client
// leaves such, and so do earlier releases when the holder dies.
func isFree(p *api.KVPair) bool { return isLock(p) && p.Session == "" }

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
	pair, _, err := s.read(ctx, key, false)
	return pair, err
}

func (s *store) read(ctx context.Context, key string, stale bool) (pair *api.KVPair, index uint64, err error) {
	m := s.mark()
	index, err = s.conn.Query(ctx, stale, func(c *api.Client, q *api.QueryOptions) (meta *api.QueryMeta, err error) {
		pair, meta, err = c.KV().Get(key, q)
		return meta, err
	})
	if err != nil {
		return nil, 0, err
	}
	if !stale {
		m.found(pair, index)
	}
	return pair, s.since(m, stale, index), nil
}

// since returns an index up to which all writes are in what a reply with the
// index has. A linearizable read sees all that was seen before. Consul's own index
// of the reply is only that of the last change to what was read. That of a stale read
// is not kept: a server may have applied what the leader has not yet.
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

func toPair(p *api.KVPair, index uint64) kvdb.KVPair {
	value := p.Value
	if value == nil {
		value = []byte{}
	}
	return kvdb.KVPair{
		Key: p.Key, Value: value,
		CreatedIndex: p.CreateIndex, ModifiedIndex: p.ModifyIndex, KVDBIndex: index,
	}
}

// check reports whether c holds for what is at a key.
func check(c driver.Cond, p *api.KVPair) error {
	switch {
	case p == nil || isFree(p):
		return c.CheckMissing()
	case isLock(p): // there is no value, and none can be
		if err := c.CheckMissing(); err != nil {
			return err
		}
		return kvdb.ErrInvalidLock
	}
	return c.Check(p.CreateIndex, p.ModifyIndex, p.Value)
}

// isHeld reports whether a session holds p as a lock. Consul is asked about the
// session when that does not follow from p: one that deletes what it holds makes
// a value with a TTL, as earlier releases write it. It is errHolderGone when the
// session has ended, because then p is not what is at the key.
func (s *store) isHeld(ctx context.Context, p *api.KVPair) (bool, error) {
	switch {
	case p.Session == "" || p.Flags == ttlFlags:
		return false, nil
	case isLock(p):
		return true, nil
	}
	var holder *api.SessionEntry
	_, err := s.conn.Query(ctx, false, func(c *api.Client, q *api.QueryOptions) (meta *api.QueryMeta, err error) {
		holder, meta, err = c.Session().Info(p.Session, q)
		return meta, err
	})
	switch {
	case err != nil:
		return false, err
	case holder == nil:
		return false, errHolderGone
	}
	// A lock of ours stays one though another program has written to its key.
	return holder.Behavior != api.SessionBehaviorDelete || strings.HasPrefix(holder.Name, locksName), nil
}

var errHolderGone = errors.New("the session that held the key is gone")

// checkHolder returns kvdb.ErrInvalidLock when p is a lock that somebody holds.
func (s *store) checkHolder(ctx context.Context, p *api.KVPair) error {
	if p == nil {
		return nil
	}
	held, err := s.isHeld(ctx, p)
	switch {
	case held:
		return kvdb.ErrInvalidLock
	case errors.Is(err, errHolderGone): // a write that rests on p fails
		return nil
	}
	return err
}

// Put implements driver.Store.
func (s *store) Put(ctx context.Context, dw driver.Write) (driver.Indexes, error) {
	if err := s.begin(); err != nil {
		return driver.Indexes{}, err
	}
	defer s.calls.Done()
	m := s.mark()
	w := write{key: dw.Key, value: dw.Value}
	if dw.TTL > 0 {
		if err := s.createTTLSession(ctx, &w, dw.TTL); err != nil {
			return driver.Indexes{}, err
		}
	}
	pair, err := s.put(ctx, w, dw.Cond)
	switch {
	case errors.Is(err, kvdb.ErrUnknownOutcome) && w.session != "":
		// The key's session shows whether our write happened. Without one it is left to its TTL: the
		// request may still run, and to end the session would then end the key.
		if now, lookErr := s.look(ctx, w.key); lookErr == nil && now != nil && now.Session == w.session {
			pair, err = now, nil
		}
	case err != nil && w.session != "":
		s.reap(w.session)
	}
	if err != nil {
		return driver.Indexes{}, err
	}
	if w.session != "" {
		s.expires(w, dw.TTL)
	}
	m.wrote(pair.ModifyIndex)
	return driver.Indexes{Created: pair.CreateIndex, Modified: pair.ModifyIndex}, nil
}

func (s *store) put(ctx context.Context, w write, c driver.Cond) (*api.KVPair, error) {
	if w.session == "" && w.isLarge() {
		return s.putLarge(ctx, w, c)
	}
	results, err := s.settle(ctx, w.key, c, s.blind(ctx, w, c), w.onto)
	if err != nil {
		return nil, err
	}
	return results[len(results)-1], nil
}

// settle commits ops, and as long as something is in the way what onto returns
// for what it finds there, if c holds for that. It returns what the operations
// have.
func (s *store) settle(ctx context.Context, key string, c driver.Cond, ops api.TxnOps,
	onto func(p *api.KVPair) api.TxnOps) ([]*api.KVPair, error) {
	var over *api.KVPair
	backoff := conn.NewBackoff()
	for try := 0; ; try++ {
		if ops != nil {
			results, err := s.conn.Txn(ctx, conn.Once, ops)
			switch {
			case err == nil && over == nil && isFree(results[0]):
				return nil, s.undo(ctx, key, c, results[len(results)-1].ModifyIndex)
			case err == nil:
				s.reapOf(over)
				return results, nil
			}
			if !conn.IsConflict(err) {
				return nil, err
			}
			if try > 2 { // others are faster, or Consul's lock delay is in the way
				if backoff.Wait(ctx) != nil {
					return nil, driver.NotReached(ctx, err)
				}
			}
		}
		var err error
		if over, err = s.look(ctx, key); err != nil {
			return nil, err
		}
		if err = check(c, over); err == nil {
			err = s.checkHolder(ctx, over)
		}
		if err != nil {
			return nil, err
		}
		ops = onto(over)
	}
}

// undo removes what a write without a look has left of that index, over a lock that
// nobody held: there is no guard by which ifPlain could tell that from a value.
func (s *store) undo(ctx context.Context, key string, c driver.Cond, index uint64) error {
	if _, err := s.conn.Txn(ctx, conn.Once, remove(key, index)); err != nil && !conn.IsConflict(err) {
		return hadEffect(ctx, err)
	}
	return c.CheckMissing()
}

// reapOf ends the session that had p, which is not there any more.
func (s *store) reapOf(p *api.KVPair) {
	if p != nil && p.Flags == ttlFlags && p.Session != "" {
		s.reap(p.Session)
	}
}

// Delete implements driver.Store.
func (s *store) Delete(ctx context.Context, key string, c driver.Cond) (*kvdb.KVPair, error) {
	m := s.mark()
	c.Present = true
	// The deletion itself tells neither what it has deleted nor its index. Flags
	// that nobody has make the write before it a change.
	deletion := api.TxnOps{
		op(api.KVTxnOp{Verb: api.KVGet, Key: key}),
		op(api.KVTxnOp{Verb: api.KVSet, Key: key, Flags: rand.Uint64()}),
		op(api.KVTxnOp{Verb: api.KVDelete, Key: key}),
	}
	var ops api.TxnOps
	if c.Created == 0 && !c.HasValue && !c.NeedsNoKey() {
		ops = append(ifPlain(key, c.Modified), deletion...)
	}
	onto := func(p *api.KVPair) api.TxnOps {
		unchanged := op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: p.ModifyIndex})
		return append(api.TxnOps{unchanged}, deletion...)
	}
	results, err := s.settle(ctx, key, c, ops, onto)
	if err != nil {
		return nil, err
	}
	old, index := results[len(results)-2], results[len(results)-1].ModifyIndex
	m.wrote(index)
	pair := toPair(old, index)
	return &pair, nil
}
