package consul

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

// Commit implements driver.Transactor. It reads the keys that are to be written with
// one request, and with another writes them if nothing has changed since.
func (s *store) Commit(ctx context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	leave, err := s.life.Enter()
	if err != nil {
		return err
	}
	defer leave()
	t, err := s.newTransaction(reads, writes, locks)
	for i := 0; err == nil && i < len(t.writes); i++ {
		err = s.createTTLSession(ctx, &t.writes[i])
	}
	if err == nil {
		err = s.commitTransaction(ctx, t)
	}
	for _, w := range t.writes {
		s.noteTTL(w, err)
	}
	return err
}

// transaction is what Commit is to do.
type transaction struct {
	reads  map[string]uint64 // key → ModifyIndex, 0 for none
	locked map[string]uint64 // those of reads that are locks → ModifyIndex
	writes []write
	leases []*lease
}

func (s *store) newTransaction(reads []driver.Read, writes []driver.Write, locks []driver.Lease) (transaction, error) {
	t := transaction{reads: map[string]uint64{}, locked: map[string]uint64{}}
	for _, r := range reads {
		t.reads[r.Key] = r.Modified
	}
	// Deletions have no result, so they come first: the last result has the index.
	for _, deletes := range []bool{true, false} {
		for _, w := range writes {
			if w.Delete == deletes {
				_, read := t.reads[w.Key]
				t.writes = append(t.writes, write{key: w.Key, value: w.Value, ttl: w.TTL, deletes: deletes, read: read})
			}
		}
	}
	for _, lock := range locks {
		l, ok := lock.(*lease)
		if !ok || l.store != s {
			return t, kvdb.ErrInvalidLock
		}
		t.leases = append(t.leases, l)
	}
	return t, nil
}

func (s *store) commitTransaction(ctx context.Context, t transaction) error {
	backoff := conn.NewBackoff()
	for {
		m := s.mark()
		over, err := s.lookAll(ctx, t)
		if err != nil {
			return err
		}
		guards, ops := t.guards(), api.TxnOps(nil)
		for i, w := range t.writes {
			ops = append(ops, w.opsOver(over[i])...)
		}
		results, err := s.conn.Txn(ctx, conn.Once, append(guards, ops...))
		if err == nil {
			for _, p := range over {
				s.endSessionOf(p)
			}
			if n := len(t.writes); n > 0 && !t.writes[n-1].deletes {
				m.wrote(results[len(results)-1].ModifyIndex)
			}
			return nil
		}
		var c *conn.Conflict
		switch {
		case !errors.As(err, &c):
			return err
		case c.Op < len(t.leases)*leaseGuards:
			if err := t.leases[c.Op/leaseGuards].learn(ctx); err != nil {
				return err
			}
		case c.Op < len(guards):
			if err := s.learnLock(ctx, t, guards[c.Op].KV.Key); err != nil {
				return err
			}
		}
		// Otherwise somebody else has written to a key that t writes. If t has read it,
		// lookAll returns the error.
		if backoff.Wait(ctx) != nil {
			return driver.NotReached(ctx, err)
		}
	}
}

// learnLock notes whether a key that t has read, and found no value at, is a lock now.
// It is kvdb.ErrModified when the key has changed otherwise.
func (s *store) learnLock(ctx context.Context, t transaction, key string) error {
	if t.reads[key] != 0 {
		return kvdb.ErrModified
	}
	now, err := s.look(ctx, key)
	switch {
	case err != nil:
		return err
	case now == nil:
		delete(t.locked, key)
	case isLock(now):
		t.locked[key] = now.ModifyIndex
	default:
		return kvdb.ErrModified
	}
	return nil
}

// leaseGuards is the number of operations that check a lock: that its session holds
// the key, and that this is still the same acquisition.
const leaseGuards = 2

// guards returns the operations that fail when a lock is not held any more, followed
// by those that fail when a key that is not written has changed.
func (t transaction) guards() api.TxnOps {
	var ops api.TxnOps
	for _, l := range t.leases {
		ops = append(ops,
			op(api.KVTxnOp{Verb: api.KVCheckSession, Key: l.Key(), Session: l.session.id}),
			op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: l.Key(), Index: l.modified.Load()}))
	}
	written := map[string]bool{}
	for _, w := range t.writes {
		written[w.key] = true
	}
	for key, modified := range t.reads {
		modified = max(modified, t.locked[key])
		switch {
		case written[key]:
		case modified == 0:
			ops = append(ops, op(api.KVTxnOp{Verb: api.KVCheckNotExists, Key: key}))
		default:
			ops = append(ops, op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: modified}))
		}
	}
	return ops
}

// lookAll returns what is at the keys that are to be written at one moment, nil for
// nothing. It is kvdb.ErrModified when one has changed since t has read it.
func (s *store) lookAll(ctx context.Context, t transaction) ([]*api.KVPair, error) {
	if len(t.writes) == 0 {
		return nil, nil
	}
	var ops api.TxnOps
	for _, w := range t.writes {
		ops = append(ops, op(api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: w.key}))
	}
	over, err := s.conn.Txn(ctx, conn.Repeatable, ops)
	if err != nil {
		return nil, err
	}
	if len(over) != len(ops) {
		return nil, fmt.Errorf("Consul returned %d of %d keys: the token may not read the others", len(over), len(ops))
	}
	for i, p := range over {
		if p.ModifyIndex == 0 {
			over[i] = nil
		}
		modified, read := t.reads[p.Key]
		switch {
		case read && modified == 0 && p.ModifyIndex != 0 && !isLock(p),
			read && modified != 0 && p.ModifyIndex != modified:
			return nil, kvdb.ErrModified
		case isLock(p) && t.writes[i].deletes:
			continue
		case isLock(p) && !isFree(p):
			return nil, kvdb.ErrInvalidLock
		}
		if err := s.checkHolder(ctx, over[i]); err != nil {
			return nil, err
		}
	}
	return over, nil
}

// CheckTx implements driver.TxChecker. It does not read what is at the keys, and
// counts the fewest operations that each write takes; Commit may need more.
func (s *store) CheckTx(reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	t, err := s.newTransaction(reads, writes, locks)
	if err != nil {
		return err
	}
	ops := t.guards()
	for _, w := range t.writes {
		if w.ttl > 0 {
			w.session = sampleSession
		}
		// A write over a different value takes as many operations as one that creates.
		ops = append(ops, w.opsOver(&api.KVPair{ModifyIndex: driver.NoIndex, Flags: touchFlags})...)
	}
	return conn.CheckOps(ops)
}

// sampleSession is as long as each session.
const sampleSession = "00000000-0000-0000-0000-000000000000"
