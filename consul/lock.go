package consul

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul/internal/conn"
	"github.com/portworx/kvdb/driver"
)

var (
	// errHolderGone says that the session which held a key has ended, so the key has
	// changed since it was read.
	errHolderGone = errors.New("the session that held the key is gone")
	// errLockDelay says that a key is free, and that Consul nevertheless lets nobody
	// lock it for a while, because the session of another program has ended.
	errLockDelay = errors.New("the key is under Consul's lock delay")
)

// Lock implements driver.Store.
func (s *store) Lock(ctx context.Context, key, owner string, wait time.Duration) (driver.Lease, error) {
	leave, err := s.life.Enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	deadline := time.Now().Add(wait)
	for backoff := conn.NewBackoff(); ; {
		l, err := s.obtain(ctx, key, owner, deadline)
		switch {
		case err == nil:
			return l, nil
		case driver.GivenUp(ctx):
			return nil, driver.WithCause(ctx, nil)
		case !errors.Is(err, kvdb.ErrNoConnection):
			return nil, err
		}
		// releaseStray removes what a lost request may still obtain.
		limited, cancel := driver.WithTimeLimit(ctx, time.Until(deadline))
		again := backoff.Wait(limited) == nil && s.conn.Ping(limited) == nil
		cancel()
		if !again && !driver.GivenUp(ctx) {
			return nil, err
		}
	}
}

// obtain obtains a lock, unless the connection is lost meanwhile.
func (s *store) obtain(ctx context.Context, key, owner string, deadline time.Time) (*lease, error) {
	backoff := conn.NewBackoff()
	var over *api.KVPair // what is at the key: nothing, or a lock that is free
	for {
		l, err := s.tryLock(ctx, key, owner, over)
		switch {
		case err == nil:
			return l, nil
		case errors.Is(err, errSessionLost): // once more, with another one
			continue
		case errors.Is(err, errLockDelay):
			if time.Until(deadline) <= 0 {
				return nil, &driver.HeldError{Owner: "Consul's lock delay"}
			}
			if err := backoff.Wait(ctx); err != nil {
				return nil, err
			}
		case !conn.IsConflict(err):
			return nil, err
		}
		h := s.history.Load() // that look sees, or one that is over
		if over, err = s.look(ctx, key); err != nil {
			return nil, err
		}
		for over != nil && !isFree(over) {
			held, err := s.isHeld(ctx, over)
			switch {
			case errors.Is(err, errHolderGone): // awaitChange returns at once
			case err != nil:
				return nil, err
			case !held:
				return nil, kvdb.ErrInvalidLock
			}
			if time.Until(deadline) <= 0 {
				return nil, &driver.HeldError{Owner: cmp.Or(string(over.Value), "session "+over.Session)}
			}
			if over, h, err = s.awaitChange(ctx, h, over, deadline); err != nil {
				return nil, err
			}
		}
	}
}

// tryLock makes one attempt to get a lock whose key is as over says.
func (s *store) tryLock(ctx context.Context, key, owner string, over *api.KVPair) (*lease, error) {
	ctx, cancel := driver.WithTimeLimit(ctx, driver.CallTimeout)
	defer cancel()
	m := s.mark()
	session, err := s.locks.session(ctx)
	if err != nil {
		return nil, err
	}
	guard := op(api.KVTxnOp{Verb: api.KVCheckNotExists, Key: key})
	if over != nil {
		guard = op(api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: over.ModifyIndex})
	}
	take := op(api.KVTxnOp{Verb: api.KVLock, Key: key, Value: []byte(owner), Flags: lockFlags, Session: session.id})
	results, err := s.conn.Txn(ctx, conn.Once, api.TxnOps{guard, take})
	if errors.Is(err, kvdb.ErrUnknownOutcome) {
		session.releaseStray(key)
		return nil, driver.NotReached(ctx, &notRunError{err})
	}
	var c *conn.Conflict
	if errors.As(err, &c) && c.Op == 1 { // the key is free, and cannot be taken
		if lost, lookErr := s.sessionLost(ctx, session); lookErr != nil {
			return nil, lookErr
		} else if lost {
			return nil, errSessionLost
		}
		return nil, errLockDelay
	}
	if err != nil {
		return nil, err
	}
	taken := results[len(results)-1]
	m.wrote(taken.ModifyIndex)
	return s.newLease(session, taken)
}

// sessionLost reports whether Consul does not know the session any more, and if so
// finishes it.
func (s *store) sessionLost(ctx context.Context, session *session) (bool, error) {
	err := s.renewSession(ctx, session.id)
	if err != errSessionLost {
		return false, err
	}
	session.finish()
	return true, nil
}

// isHeld reports whether a session holds p as a lock. When p does not show that, it
// asks Consul about the session, because a session which deletes what it holds makes
// a value with a TTL, as earlier releases write it. The error is errHolderGone when the
// session has ended.
func (s *store) isHeld(ctx context.Context, p *api.KVPair) (bool, error) {
	switch {
	case p.Session == "" || p.Flags == ttlFlags:
		return false, nil
	case isLock(p):
		return true, nil
	}
	holder, err := s.readSession(ctx, p.Session)
	switch {
	case err != nil:
		return false, err
	case holder == nil:
		return false, errHolderGone
	}
	// A lock of this library remains one although another program has written to its key.
	return holder.Behavior != api.SessionBehaviorDelete || strings.HasPrefix(holder.Name, locksName), nil
}

// checkHolder returns kvdb.ErrInvalidLock when p is a lock that somebody holds.
func (s *store) checkHolder(ctx context.Context, p *api.KVPair) error {
	if p == nil {
		return nil
	}
	held, err := s.isHeld(ctx, p)
	switch {
	case held:
		return kvdb.ErrInvalidLock
	case errors.Is(err, errHolderGone): // a write that depends on p fails
		return nil
	}
	return err
}

// awaitChange waits until the deadline for the key of p, which was read in the history h,
// to change. It returns what is there, and the history in which that was read. When the
// connection is lost it waits for another one. When h is over it does not wait, because
// the index of p says nothing about the next history.
func (s *store) awaitChange(ctx context.Context, h *history, p *api.KVPair, deadline time.Time) (*api.KVPair, *history, error) {
	limited, cancel := driver.WithTimeLimit(ctx, time.Until(deadline))
	defer cancel()
	bound, unbind := h.bind(limited)
	defer unbind()
	h.note(p, factsOf(api.KVPairs{p}, p.ModifyIndex))
	defer h.note(p, nil)
	backoff := conn.NewBackoff()
	for index := p.ModifyIndex; ; {
		now, _, err := s.blockingGet(bound, p.Key, index)
		index = p.ModifyIndex
		switch {
		case err == nil && (now == nil || now.ModifyIndex != p.ModifyIndex):
			return now, h, nil
		case ctx.Err() != nil:
			return nil, nil, driver.WithCause(ctx, nil)
		case limited.Err() != nil:
			return p, h, nil
		case h.over.Err() != nil:
			h := s.history.Load()
			now, err := s.look(ctx, p.Key)
			return now, h, err
		case err == nil:
			continue
		}
		index = 0
		switch {
		case errors.Is(err, conn.ErrLookAgain):
			continue
		case !errors.Is(err, kvdb.ErrNoConnection):
			return nil, nil, err
		}
		// If this fails the deadline is over, or the next query returns the reason.
		_ = backoff.Wait(limited)
		_ = s.conn.Ping(limited)
	}
}

// LockOwner implements driver.Store.
func (s *store) LockOwner(ctx context.Context, key string) (string, bool, error) {
	pair, _, err := s.read(ctx, key, s.stale)
	switch {
	case err != nil:
		return "", false, err
	case pair == nil || isFree(pair):
		return "", false, nil
	}
	held, err := s.isHeld(ctx, pair)
	switch {
	case errors.Is(err, errHolderGone):
		return "", false, nil
	case err != nil:
		return "", false, err
	case !held:
		return "", false, kvdb.ErrInvalidLock
	}
	return string(pair.Value), true, nil
}
