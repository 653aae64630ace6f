package consul

import (
	"bytes"
	"context"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb/driver"
)

// op returns an operation of a transaction.
func op(o api.KVTxnOp) *api.TxnOp { return &api.TxnOp{KV: &o} }

// opsDelete returns the operations that delete a key which has not changed since it
// had the index. It also changes when its session ends.
func opsDelete(key string, modified uint64) api.TxnOps {
	return api.TxnOps{
		op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: modified}),
		op(api.KVTxnOp{Verb: api.KVDelete, Key: key}),
	}
}

// ifPlain returns guards that hold for a value without a TTL, which has the index
// modified unless that is 0. They also hold for a lock that nobody holds.
func ifPlain(key string, modified uint64) api.TxnOps {
	ops := api.TxnOps{op(api.KVTxnOp{Verb: api.KVCheckSession, Key: key})}
	if modified != 0 {
		ops = append(ops, op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: modified}))
	}
	return ops
}

// write is a write to one key.
type write struct {
	key   string
	value []byte
	ttl   time.Duration // 0 for none
	// deletes means that the write deletes the key, if it is a value. It is a part of a
	// transaction, which has read the key if read is set.
	deletes, read bool

	// session is the key's own, which ends after the TTL; "" without a TTL.
	session   string
	requested time.Time // when the session was
}

// final returns the operation that gives the key its value and session, when no
// session holds it.
func (w write) final(verb api.KVOp) *api.TxnOp {
	if w.session != "" {
		return op(api.KVTxnOp{Verb: api.KVLock, Key: w.key, Value: w.value, Flags: ttlFlags, Session: w.session})
	}
	return op(api.KVTxnOp{Verb: verb, Key: w.key, Value: w.value})
}

// opsOver returns the operations that write over p, which is what is at the key, nil
// for nothing. They fail when that has changed.
func (w write) opsOver(p *api.KVPair) api.TxnOps {
	if w.deletes {
		return w.deletionOver(p)
	}
	if p == nil {
		create := w.final(api.KVCAS) // with index 0: if there is no such key
		if w.session == "" {
			return api.TxnOps{create}
		}
		return api.TxnOps{op(api.KVTxnOp{Verb: api.KVCheckNotExists, Key: w.key}), create}
	}
	unchanged := op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: w.key, Index: p.ModifyIndex})
	switch {
	case isFree(p): // the new pair must get a CreateIndex of its own
		return append(opsDelete(w.key, p.ModifyIndex), w.opsOver(nil)...)
	case p.Session == "" && w.session != "":
		return api.TxnOps{unchanged, w.final(api.KVSet)}
	case p.Session == "" && p.Flags == 0 && bytes.Equal(p.Value, w.value):
		touch := op(api.KVTxnOp{Verb: api.KVCAS, Key: w.key, Flags: touchFlags, Index: p.ModifyIndex})
		return api.TxnOps{touch, w.final(api.KVSet)}
	case p.Session == "":
		return api.TxnOps{op(api.KVTxnOp{Verb: api.KVCAS, Key: w.key, Value: w.value, Index: p.ModifyIndex})}
	case w.session != "":
		free := op(api.KVTxnOp{Verb: api.KVUnlock, Key: w.key, Session: p.Session})
		return api.TxnOps{unchanged, free, w.final(api.KVSet)}
	default:
		return api.TxnOps{unchanged, op(api.KVTxnOp{Verb: api.KVUnlock, Key: w.key, Value: w.value, Session: p.Session})}
	}
}

// deletionOver is opsOver for a deletion. A lock stays.
func (w write) deletionOver(p *api.KVPair) api.TxnOps {
	switch {
	case p == nil:
		return api.TxnOps{op(api.KVTxnOp{Verb: api.KVCheckNotExists, Key: w.key})}
	case isLock(p):
		return api.TxnOps{op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: w.key, Index: p.ModifyIndex})}
	case w.read:
		return opsDelete(w.key, p.ModifyIndex)
	}
	// This also succeeds if the key is gone.
	return api.TxnOps{op(api.KVTxnOp{Verb: api.KVDeleteCAS, Key: w.key, Index: p.ModifyIndex})}
}

// opsOverAny returns the operations that write over whatever is there, and leave the
// key with w's session.
func (w write) opsOverAny() api.TxnOps {
	if w.session != "" {
		return api.TxnOps{w.final(api.KVSet)}
	}
	return api.TxnOps{op(api.KVTxnOp{Verb: api.KVSet, Key: w.key, Flags: touchFlags}), w.final(api.KVSet)}
}

// opsWithoutRead returns the operations of a write that does not depend on what is at
// the key; nil if there are none. They also fail when the key has a TTL, or another
// session holds it.
func (s *store) opsWithoutRead(ctx context.Context, w write, c driver.Cond) api.TxnOps {
	switch {
	case c.HasValue, c.Created != 0, c.NeedsKey() && c.NeedsNoKey():
		return nil // Consul has no guards for these
	case c.NeedsNoKey():
		return w.opsOver(nil)
	case c.NeedsKey():
		return append(ifPlain(w.key, c.Modified), w.opsOverAny()...)
	case w.session != "":
		return w.opsOverAny()
	}
	// Locking a key and unlocking it is a change even if the value stays the same. It
	// fails only when another session holds the key.
	session, err := s.writer.session(ctx)
	if err != nil {
		return nil
	}
	return api.TxnOps{
		op(api.KVTxnOp{Verb: api.KVLock, Key: w.key, Session: session.id}),
		op(api.KVTxnOp{Verb: api.KVUnlock, Key: w.key, Value: w.value, Session: session.id}),
	}
}
