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

// Commit implements driver.Transactor. It looks at the keys that are to be
// written, in one request, and writes if nothing has changed since, in another.
func (s *store) Commit(ctx context.Context, reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	t, err := s.newTransaction(reads, writes, locks)
	if err != nil {
		return err
	}
	if err := s.createSessions(ctx, t); err != nil {
		return err
	}
	err = s.commitTransaction(ctx, t)
	for i, w := range t.writes {
		switch {
		case w.session == "":
		case err == nil:
			s.noteTTL(w, writes[i].TTL)
		case !errors.Is(err, kvdb.ErrUnknownOutcome):
			s.endSession(w.session)
		}
	}
	return err
}

// transaction is what Commit is to do.
type transaction struct {
	reads  map[string]uint64 // key → ModifyIndex, 0 for none
	locked map[string]uint64 // those of reads that are locks → ModifyIndex
	writes []write
	ttls   []driver.Write // as given, in the order of writes
	leases []*lease
}

func (s *store) newTransaction(reads []driver.Read, writes []driver.Write, locks []driver.Lease) (*transaction, error) {
	t := &transaction{reads: map[string]uint64{}, locked: map[string]uint64{}, ttls: writes}
	for _, r := range reads {
		t.reads[r.Key] = r.Modified
	}
	for _, w := range writes {
		t.writes = append(t.writes, write{key: w.Key, value: w.Value})
	}
	for _, lock := range locks {
		l, ok := lock.(*lease)
		if !ok || l.store != s {
			return nil, kvdb.ErrInvalidLock
		}
		t.leases = append(t.leases, l)
	}
	return t, nil
}

// createSessions makes the sessions of the writes that have a TTL.
func (s *store) createSessions(ctx context.Context, t *transaction) error {
	for i, w := range t.ttls {
		if w.TTL == 0 {
			continue
		}
		if err := s.createTTLSession(ctx, &t.writes[i], w.TTL); err != nil {
			for _, w := range t.writes[:i] {
				if w.session != "" {
					s.endSession(w.session)
				}
			}
			return err
		}
	}
	return nil
}

func (s *store) commitTransaction(ctx context.Context, t *transaction) error {
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
			if len(t.writes) > 0 {
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
		// Somebody else has written to a key of ours: if it is one that was read,
		// the next look tells.
		if backoff.Wait(ctx) != nil {
			return driver.NotReached(ctx, err)
		}
	}
}

// learnLock notes that a key that was read as nothing is a lock at present, or nothing
// again. Otherwise it has changed.
func (s *store) learnLock(ctx context.Context, t *transaction, key string) error {
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

// leaseGuards is how many operations it takes to see that a lock is held: the key
// is the session's, and it is the same lock that the session got then.
const leaseGuards = 2

// guards are the operations that fail when a lock is not held any more, and then
// those that fail when a key that is not written has changed.
func (t *transaction) guards() api.TxnOps {
	var ops api.TxnOps
	for _, l := range t.leases {
		ops = append(ops,
			op(api.KVTxnOp{Verb: api.KVCheckSession, Key: l.key, Session: l.session.id}),
			op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: l.key, Index: l.modified.Load()}))
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

// lookAll returns what is at the keys that are to be written, nil for nothing, all
// at one moment. It is kvdb.ErrModified when one was read and has changed.
func (s *store) lookAll(ctx context.Context, t *transaction) ([]*api.KVPair, error) {
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
		case isLock(p) && !isFree(p):
			return nil, kvdb.ErrInvalidLock
		}
		if err := s.checkHolder(ctx, over[i]); err != nil {
			return nil, err
		}
	}
	return over, nil
}

// CheckTx implements driver.TxChecker. It does not know what is at the keys, and
// counts the least that a write takes; Commit, which looks, may find that it is more.
func (s *store) CheckTx(reads []driver.Read, writes []driver.Write, locks []driver.Lease) error {
	t, err := s.newTransaction(reads, writes, locks)
	if err != nil {
		return err
	}
	ops := t.guards()
	for i, w := range t.writes {
		if t.ttls[i].TTL > 0 {
			w.session = sampleSession
		}
		// As over another value, which takes what over none does.
		ops = append(ops, w.opsOver(&api.KVPair{ModifyIndex: driver.NoIndex, Flags: touchFlags})...)
	}
	return conn.CheckOps(ops)
}

// sampleSession is as long as each session.
const sampleSession = "00000000-0000-0000-0000-000000000000"
