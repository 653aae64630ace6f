package consul

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

func op(o api.KVTxnOp) *api.TxnOp { return &api.TxnOp{KV: &o} }

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

// isLarge reports whether a transaction with the write could be larger than Consul
// takes by default.
func (w write) isLarge() bool {
	// The most operations that a write takes, and the most there can be around a
	// value in JSON.
	const ops, perOp, perKeyByte = 4, 256, 6
	return base64.StdEncoding.EncodedLen(len(w.value))+ops*(perOp+perKeyByte*len(w.key)) > conn.MaxBody
}

// putLarge makes a write without a TTL whose value a transaction may not hold. A
// request for one key holds all that Consul takes as a value. But it has no other
// guard than the key's index, so that is looked up before; and its reply has no
// index, so that is looked up after: flags that nobody else writes tell whether
// the key is still as the request has left it.
func (s *store) putLarge(ctx context.Context, w write, c driver.Cond) (*api.KVPair, error) {
	for backoff := conn.NewBackoff(); ; {
		over, err := s.look(ctx, w.key)
		if err != nil {
			return nil, err
		}
		if err = check(c, over); err == nil {
			err = s.checkHolder(ctx, over)
		}
		switch {
		case err != nil:
			return nil, err
		case over == nil:
		case over.Session != "": // to take its TTL away needs a transaction
			results, err := s.settle(ctx, w.key, c, w.onto(over), w.onto)
			if err != nil {
				return nil, err
			}
			s.reapOf(over)
			return results[len(results)-1], nil
		case isFree(over): // not a pair that lives on
			if _, err := s.conn.Txn(ctx, conn.Once, remove(w.key, over.ModifyIndex)); err != nil && !conn.IsConflict(err) {
				return nil, err
			}
			over = nil
		}
		written, err := s.putIfUnchanged(ctx, w, over)
		if written != nil || err != nil {
			return written, err
		}
		if backoff.Wait(ctx) != nil {
			return nil, driver.NotReached(ctx, errFaster)
		}
	}
}

var errFaster = errors.New("others change the key all the time")

// putIfUnchanged makes the request of putLarge, and returns the key with the
// indexes that it has got; nil when the key is not as over says any more.
func (s *store) putIfUnchanged(ctx context.Context, w write, over *api.KVPair) (*api.KVPair, error) {
	p := &api.KVPair{Key: w.key, Value: w.value, Flags: touchFlags + 1 + rand.Uint64N(maxLargeFlags)}
	if over != nil {
		p.ModifyIndex = over.ModifyIndex
	}
	applied := false
	err := s.conn.Call(ctx, conn.Once, func(ctx context.Context, c *api.Client) (err error) {
		applied, _, err = c.KV().CAS(p, (&api.WriteOptions{}).WithContext(ctx))
		return err
	})
	unknown := errors.Is(err, kvdb.ErrUnknownOutcome)
	if !unknown && (err != nil || !applied) {
		return nil, err
	}
	now, index, lookErr := s.read(ctx, w.key, false)
	switch {
	case lookErr == nil && now != nil && now.Flags == p.Flags && bytes.Equal(now.Value, p.Value):
		return now, nil
	case unknown:
		return nil, err
	case lookErr != nil:
		return nil, hadEffect(ctx, fmt.Errorf("the key is written, with which index is not known: %w", lookErr))
	}
	// Somebody has written to the key or deleted it since. The index before that
	// is not less than this write's, and the key never has it again.
	switch {
	case now == nil:
		p.ModifyIndex = index - 1
	case over == nil: // this write has created the key, or somebody has again
		p.ModifyIndex = min(now.CreateIndex, now.ModifyIndex-1)
	case now.ModifyIndex == over.ModifyIndex:
		return nil, fmt.Errorf("%w: %w", kvdb.ErrUnknownOutcome, errNotWritten)
	default:
		p.ModifyIndex = now.ModifyIndex - 1
	}
	p.CreateIndex = p.ModifyIndex
	if over != nil {
		p.CreateIndex = over.CreateIndex
	}
	return p, nil
}

// maxLargeFlags keeps flags of large values within what programs take for an
// integer that read numbers as floating point.
const maxLargeFlags = 1<<53 - 2
