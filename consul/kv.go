package consul

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
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

// isLock tells whether a key is a lock, held or left behind by another program.
func isLock(p *api.KVPair) bool { return p.Flags == lockFlags }

// isFree tells whether a key is a lock that nobody holds: Consul's own client
// leaves such.
func isFree(p *api.KVPair) bool { return isLock(p) && p.Session == "" }

func op(o api.KVTxnOp) *api.TxnOp { return &api.TxnOp{KV: &o} }

// commit applies ops in one step, or none of them: then the error is a
// *conflict. It returns what the operations have returned.
func (s *store) commit(ctx context.Context, k kind, ops api.TxnOps) ([]*api.KVPair, error) {
	if err := checkSize(ops); err != nil {
		return nil, err
	}
	var reply *api.TxnResponse
	err := s.pool.call(ctx, k, func(ctx context.Context, c *api.Client) (err error) {
		_, reply, _, err = c.Txn().Txn(ops, consistent(ctx))
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(reply.Errors) > 0 {
		failed := reply.Errors[0]
		c := &conflict{failed.OpIndex, failed.What}
		if strings.Contains(failed.What, "Permission denied") {
			return nil, errors.New(c.Error())
		}
		return nil, c
	}
	pairs := make([]*api.KVPair, len(reply.Results))
	for i, result := range reply.Results {
		pairs[i] = result.KV
	}
	return pairs, nil
}

// checkSize refuses a transaction that Consul would not take.
func checkSize(ops api.TxnOps) error {
	if len(ops) > maxTxOps {
		return fmt.Errorf("%w: the transaction has %d operations, the limit is %d", kvdb.ErrTooLarge, len(ops), maxTxOps)
	}
	const perOp, perKeyByte = 256, 6 // the most there can be around a value in JSON
	bound := 0
	for _, o := range ops {
		bound += perOp + perKeyByte*len(o.KV.Key) + (len(o.KV.Value)+2)/3*4
	}
	if bound <= maxRequest {
		return nil
	}
	encoded, err := json.Marshal(ops)
	if err != nil {
		return err
	}
	if size := len(encoded) + 1; size > maxRequest { // and a newline
		return fmt.Errorf("%w: the request has %d bytes, the limit is %d", kvdb.ErrTooLarge, size, maxRequest)
	}
	return nil
}

// Get implements driver.Store.
func (s *store) Get(ctx context.Context, key string) (*kvdb.KVPair, error) {
	pair, index, err := s.read(ctx, key, s.stale)
	switch {
	case err != nil:
		return nil, err
	case pair == nil || isLock(pair):
		return nil, kvdb.ErrNotFound
	}
	return toPair(pair, index), nil
}

// look returns what is at a key now, nil for nothing.
func (s *store) look(ctx context.Context, key string) (*api.KVPair, error) {
	pair, _, err := s.read(ctx, key, false)
	return pair, err
}

func (s *store) read(ctx context.Context, key string, stale bool) (pair *api.KVPair, index uint64, err error) {
	index, err = s.query(ctx, stale, func(c *api.Client, q *api.QueryOptions) (meta *api.QueryMeta, err error) {
		pair, meta, err = c.KV().Get(key, q)
		return meta, err
	})
	return pair, index, err
}

// query makes a read, and returns an index up to which all writes are in what
// was read.
func (s *store) query(ctx context.Context, stale bool,
	f func(c *api.Client, q *api.QueryOptions) (*api.QueryMeta, error)) (uint64, error) {
	// A linearizable read sees all that was seen before. Consul's own index of the
	// reply is only that of the last change to what was read.
	before := s.seen.Load()
	if stale {
		before = 0
	}
	index := uint64(0)
	err := s.pool.call(ctx, repeatable, func(ctx context.Context, c *api.Client) error {
		q := consistent(ctx)
		q.RequireConsistent, q.AllowStale = !stale, stale
		meta, err := f(c, q)
		if err == nil {
			index = meta.LastIndex
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	s.saw(index)
	return max(index, before), nil
}

func toPair(p *api.KVPair, index uint64) *kvdb.KVPair {
	value := p.Value
	if value == nil {
		value = []byte{}
	}
	return &kvdb.KVPair{
		Key: p.Key, Value: value,
		CreatedIndex: p.CreateIndex, ModifiedIndex: p.ModifyIndex, KVDBIndex: index,
	}
}

// check tells whether c holds for what is at a key.
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

// write is a write to one key.
type write struct {
	key   string
	value []byte
	// session is the key's own, which ends after the TTL; "" without a TTL.
	session string
}

// final is the operation that leaves the key as it is to be, when nobody
// holds it.
func (w write) final(verb api.KVOp) *api.TxnOp {
	if w.session != "" {
		return op(api.KVTxnOp{Verb: api.KVLock, Key: w.key, Value: w.value, Flags: ttlFlags, Session: w.session})
	}
	return op(api.KVTxnOp{Verb: verb, Key: w.key, Value: w.value})
}

// onto returns the operations that write over p, which is what is at the key, nil
// for nothing. They fail when that has changed.
func (w write) onto(p *api.KVPair) api.TxnOps {
	if p == nil {
		create := w.final(api.KVCAS) // with index 0: if there is none
		if w.session == "" {
			return api.TxnOps{create}
		}
		return api.TxnOps{op(api.KVTxnOp{Verb: api.KVCheckNotExists, Key: w.key}), create}
	}
	unchanged := op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: w.key, Index: p.ModifyIndex})
	switch {
	case isFree(p): // not a pair that lives on
		remove := op(api.KVTxnOp{Verb: api.KVDelete, Key: w.key})
		return append(api.TxnOps{unchanged, remove}, w.onto(nil)...)
	case p.Session == "" && w.session != "":
		return api.TxnOps{unchanged, w.final(api.KVSet)}
	case p.Session == "" && p.Flags == 0 && bytes.Equal(p.Value, w.value):
		return append(api.TxnOps{unchanged}, w.change()...)
	case p.Session == "":
		return api.TxnOps{op(api.KVTxnOp{Verb: api.KVCAS, Key: w.key, Value: w.value, Index: p.ModifyIndex})}
	case w.session != "":
		free := op(api.KVTxnOp{Verb: api.KVUnlock, Key: w.key, Session: p.Session})
		return api.TxnOps{unchanged, free, w.final(api.KVSet)}
	default:
		return api.TxnOps{unchanged, op(api.KVTxnOp{Verb: api.KVUnlock, Key: w.key, Value: w.value, Session: p.Session})}
	}
}

// change returns the operations that write over what is there, whatever it is,
// and leave it with its session.
func (w write) change() api.TxnOps {
	if w.session != "" {
		return api.TxnOps{w.final(api.KVSet)}
	}
	return api.TxnOps{op(api.KVTxnOp{Verb: api.KVSet, Key: w.key, Flags: touchFlags}), w.final(api.KVSet)}
}

// ifPlain are guards: there is a value without a TTL, of that index unless it
// is 0.
func ifPlain(key string, modified uint64) api.TxnOps {
	ops := api.TxnOps{op(api.KVTxnOp{Verb: api.KVCheckSession, Key: key})}
	if modified != 0 {
		ops = append(ops, op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: modified}))
	}
	return ops
}

// blind returns the operations of a write that need not know what is at the
// key; nil if there are none. They fail when something is in the way, be it
// that it has a TTL.
func (s *store) blind(ctx context.Context, w write, c driver.Cond) api.TxnOps {
	switch {
	case c.HasValue, c.Created != 0, c.NeedsKey() && c.NeedsNoKey():
		return nil // there are no guards for these
	case c.NeedsNoKey():
		return w.onto(nil)
	case c.NeedsKey():
		return append(ifPlain(w.key, c.Modified), w.change()...)
	case w.session != "":
		return w.change()
	}
	// To take a key and to give it back is a change too, and can be done unless
	// somebody else holds it.
	session, err := s.writer.session(ctx)
	if err != nil {
		return nil
	}
	return api.TxnOps{
		op(api.KVTxnOp{Verb: api.KVLock, Key: w.key, Session: session.id}),
		op(api.KVTxnOp{Verb: api.KVUnlock, Key: w.key, Value: w.value, Session: session.id}),
	}
}

// Put implements driver.Store.
func (s *store) Put(ctx context.Context, dw driver.Write) (driver.Indexes, error) {
	w := write{key: dw.Key, value: dw.Value}
	if dw.TTL > 0 {
		var err error
		if w.session, err = s.createTTLSession(ctx, dw.TTL); err != nil {
			return driver.Indexes{}, err
		}
	}
	pair, err := s.put(ctx, w, dw.Cond)
	switch {
	case errors.Is(err, kvdb.ErrUnknownOutcome) && w.session != "":
		// Who holds the key tells.
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
		s.ttls.add(w.session, w.key, dw.TTL)
	}
	s.saw(pair.ModifyIndex)
	return driver.Indexes{Created: pair.CreateIndex, Modified: pair.ModifyIndex}, nil
}

func (s *store) put(ctx context.Context, w write, c driver.Cond) (*api.KVPair, error) {
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
	backoff := newBackoff()
	for try := 0; ; try++ {
		if ops != nil {
			results, err := s.commit(ctx, once, ops)
			if err == nil {
				s.reapOf(over)
				return results, nil
			}
			if !isConflict(err) {
				return nil, err
			}
			if try > 2 { // others are faster, or Consul's lock delay is in the way
				if backoff.Wait(ctx) != nil {
					return nil, notReached(ctx, err)
				}
			}
		}
		var err error
		if over, err = s.look(ctx, key); err != nil {
			return nil, err
		}
		if err = check(c, over); err != nil {
			return nil, err
		}
		ops = onto(over)
	}
}

// reapOf ends the session that had p, which is not there any more.
func (s *store) reapOf(p *api.KVPair) {
	if p != nil && p.Flags == ttlFlags && p.Session != "" {
		s.reap(p.Session)
	}
}

// Delete implements driver.Store.
func (s *store) Delete(ctx context.Context, key string, c driver.Cond) (*kvdb.KVPair, error) {
	c.Present = true
	// The deletion itself tells neither what it has deleted nor its index.
	remove := api.TxnOps{
		op(api.KVTxnOp{Verb: api.KVGet, Key: key}),
		op(api.KVTxnOp{Verb: api.KVSet, Key: key, Flags: touchFlags}),
		op(api.KVTxnOp{Verb: api.KVSet, Key: key}),
		op(api.KVTxnOp{Verb: api.KVDelete, Key: key}),
	}
	var ops api.TxnOps
	if c.Created == 0 && !c.HasValue && !c.NeedsNoKey() {
		ops = append(ifPlain(key, c.Modified), remove...)
	}
	onto := func(p *api.KVPair) api.TxnOps {
		unchanged := op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: p.ModifyIndex})
		return append(api.TxnOps{unchanged}, remove...)
	}
	results, err := s.settle(ctx, key, c, ops, onto)
	if err != nil {
		return nil, err
	}
	old, index := results[len(results)-3], results[len(results)-1].ModifyIndex
	s.saw(index)
	return toPair(old, index), nil
}
