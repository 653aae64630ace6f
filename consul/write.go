package consul

import (
	"bytes"
	"context"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb/internal/driver"
)

// write is a write to one key.
type write struct {
	key   string
	value []byte
	// session is the key's own, which ends after the TTL; "" without a TTL. It was
	// asked for at asked.
	session string
	asked   time.Time
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
