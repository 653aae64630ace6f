package test

import (
	"cmp"
	"strconv"
	"time"

	"github.com/portworx/kvdb"
)

// chronicle writes keys that nobody else writes, one after the other, through
// all that happens to the server.
type chronicle struct {
	e       *env
	written map[uint64]string // index → key, of those that succeeded
	perhaps []string          // keys whose write has an unknown outcome
	n       int
}

// succeed writes until n writes have succeeded.
func (c *chronicle) succeed(n int) {
	c.e.t.Helper()
	deadline := time.Now().Add(recovery)
	for n > 0 {
		key := "chronicle/" + strconv.Itoa(c.n)
		c.n++
		pair, err := c.e.kv.Create(key, key, 0)
		if err == nil {
			c.written[pair.ModifiedIndex] = key
			n--
			continue
		}
		// A key that is there would be this call's own: sent twice.
		if !c.e.outageError("Create", err) {
			c.perhaps = append(c.perhaps, key)
		}
		c.e.True(time.Now().Before(deadline), "no recovery: %v", err)
	}
}

// check asserts that r saw each write once, in order, and that the store has
// what was acknowledged, and nothing that was refused.
func (c *chronicle) check(r *recorder) {
	c.e.t.Helper()
	end := c.e.put("chronicle/end", "chronicle/end")
	c.written[end.ModifiedIndex] = end.Key
	seen := map[string]uint64{}
	last := uint64(0)
	for _, event := range r.until("chronicle/end") {
		c.e.NotContains(seen, event.Key, "an event comes twice")
		c.e.Equal(kvdb.KVCreate, event.Action)
		c.e.Equal(event.Key, string(event.Value))
		if !c.e.traits.FoldedUpdates {
			c.e.Greater(event.ModifiedIndex, last, "events out of order")
		}
		last = event.ModifiedIndex
		seen[event.Key] = last
	}
	pairs, err := c.e.kv.Enumerate("chronicle/")
	c.e.NoError(err)
	c.e.Len(seen, len(pairs), "keys with an event, and keys in the store")
	for _, pair := range pairs {
		c.e.Equal(pair.ModifiedIndex, seen[pair.Key], "the event of %s", pair.Key)
		if _, acknowledged := c.written[pair.ModifiedIndex]; !acknowledged {
			c.e.Contains(c.perhaps, pair.Key, "a write that was refused")
		}
	}
	for index, key := range c.written {
		c.e.Equal(index, seen[key], "an acknowledged write of %s", key)
	}
}

// A watch rides out what happens to the server, without a gap or a repeat, and
// every write happens once or not at all.
func outageWatch(f fault) func(e *env) {
	return func(e *env) {
		c := &chronicle{e: e, written: map[uint64]string{}}
		r := e.watchTree("chronicle/", e.index())
		for range 3 {
			c.succeed(5)
			end := e.strike(f, e.everyMember()...)
			_, err := kvdb.WithContext(e.t.Context(), e.kv).Get("before") // a call that sees the outage
			e.ErrorIs(err, kvdb.ErrNoConnection)
			end()
			c.succeed(5)
		}
		c.check(r)
	}
}

// With each member in turn gone, the leader among them, the others serve.
func outageEachMember(e *env) {
	if e.suite.Server.Members() < 3 {
		e.t.Skip("the server has no member to spare")
	}
	c := &chronicle{e: e, written: map[uint64]string{}}
	r := e.watchTree("chronicle/", e.index())
	for _, member := range e.everyMember() {
		end := e.strike(killed, member)
		c.succeed(5)
		e.holds("before", "value")
		end()
		c.succeed(5)
	}
	c.check(r)
}

func outageIsolatedMember(e *env) {
	if e.suite.Server.Members() < 3 {
		e.t.Skip("the server has no member to spare")
	}
	c := &chronicle{e: e, written: map[uint64]string{}}
	r := e.watchTree("chronicle/", e.index())
	pair := e.lock(e.kv, "lock", "me")
	for _, member := range e.everyMember() {
		end := e.strike(isolated, member)
		c.succeed(5)
		end()
		c.succeed(5)
	}
	c.check(r)
	e.notLost(pair)
	e.NoError(e.kv.Unlock(pair))
}

// New against a store that cannot be reached fails soon.
func outageNew(e *env) {
	end := e.strike(stopped, e.everyMember()...)
	began := time.Now()
	_, err := e.tryOpen(e.domain, nil, nil)
	e.ErrorIs(err, kvdb.ErrNoConnection)
	e.Less(time.Since(began), e.callLimit())
	end()
	e.recovers()
	e.open(e.domain)
}

// A lock survives an outage that is shorter than its keep-alive.
func outageLockSurvives(e *env) {
	pair := e.lock(e.kv, "lock", "me")
	end := e.strike(killed, e.everyMember()...)
	end()
	e.recovers()
	e.notLost(pair)
	e.isLocked("lock", "me")
	_, err := e.peer().LockWithTimeout("lock", "other", time.Second, 0)
	e.ErrorIs(err, kvdb.ErrExist)
	e.NoError(e.kv.Unlock(pair))
	e.isLocked("lock", "")
}

// The holder knows that its lock is lost before somebody else has it, and can
// do the next holder no harm.
func outageLockIsLost(e *env) {
	cb, calls := fatals()
	kv := e.openWith(e.domain, nil, cb)
	pair := e.lock(kv, "lock", "me")
	end := e.strike(stopped, e.everyMember()...)
	waitFor(e, e.held(pair).Lost(), deathLimit+patience, "the news that the lock is lost")
	report := wait(e, calls, "the fatal callback")
	e.is(kvdb.ErrLockRefreshFailed, report.err)
	e.Contains(report.text, "lock")
	end()
	e.recovers()
	next, err := e.peer().LockWithTimeout("lock", "next", recovery, 0)
	e.NoError(err)
	e.Greater(next.ModifiedIndex, pair.ModifiedIndex)
	e.is(kvdb.ErrInvalidLock, kv.Unlock(pair))
	e.isLocked("lock", "next")
	e.Empty(calls)
}

// A watch ends when the store is away for long.
func outageWatchGivesUp(e *env) {
	limit := cmp.Or(e.traits.WatchTimeout, 50*time.Second)
	r := e.watchTree("", e.index())
	end := e.strike(stopped, e.everyMember()...)
	began := time.Now()
	c := r.callWithin(limit + patience)
	e.is(kvdb.ErrWatchStopped, c.err)
	e.Greater(time.Since(began), limit*4/5)
	end()
	e.recovers()
	r.none()
	again := e.watchKey("key", 0)
	e.put("key", "value")
	e.Equal("value", string(again.next().Value))
}
