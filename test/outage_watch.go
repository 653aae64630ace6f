package test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/portworx/kvdb"
)

// chronicle has writers that create keys, each once, during faults of the server.
type chronicle struct {
	e       *env
	watched *recorder // a watch from before the first write
	stop    func()    // ends the writers
	grown   chan struct{}

	mu      sync.Mutex        // protects the fields below
	written map[uint64]string // index → key, of the acknowledged writes
	refused []string          // keys whose write certainly did not happen
	unknown []string          // keys whose write has an unknown outcome
	wrong   []error           // of writes, which no write may return
}

// chronicle starts the writers.
func (e *env) chronicle() *chronicle {
	c := &chronicle{e: e, written: map[uint64]string{}, grown: make(chan struct{}, 1)}
	c.watched = e.watchTree("chronicle/", e.index())
	ctx, cancel := context.WithCancel(e.t.Context())
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				c.create(fmt.Sprintf("chronicle/%d-%d", writer, i))
			}
		})
	}
	c.stop = func() { cancel(); writers.Wait() }
	e.t.Cleanup(c.stop)
	return c
}

// create makes one write. ErrExist would mean that the library sent it twice.
func (c *chronicle) create(key string) {
	pair, err := c.e.kv.Create(key, key, 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.written[pair.ModifiedIndex] = key
	case errors.Is(err, kvdb.ErrUnknownOutcome):
		c.unknown = append(c.unknown, key)
	case errors.Is(err, kvdb.ErrNoConnection):
		c.refused = append(c.refused, key)
	default:
		c.wrong = append(c.wrong, fmt.Errorf("create %s: %w", key, err))
	}
	select {
	case c.grown <- struct{}{}:
	default:
	}
}

// until waits until enough writes have succeeded, or failed, since now.
func (c *chronicle) until(succeeded, failed int) {
	c.e.t.Helper()
	count := func() (int, int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.e.Empty(c.wrong)
		return len(c.written), len(c.refused) + len(c.unknown)
	}
	writtenBefore, failedBefore := count()
	for deadline := time.Now().Add(recovery); ; {
		waitFor(c.e, c.grown, time.Until(deadline), "writes succeed")
		writtenNow, failedNow := count()
		if writtenNow >= writtenBefore+succeeded && failedNow >= failedBefore+failed {
			return
		}
	}
}

// check asserts that the watch, if the store has watches, delivered each write once and in
// order, and that the store has the acknowledged writes and none of the refused ones.
func (c *chronicle) check() {
	c.e.t.Helper()
	c.stop()
	end := c.e.put("chronicle/end", "chronicle/end")
	c.written[end.ModifiedIndex] = end.Key
	seen := map[string]uint64{}
	last := uint64(0)
	for _, event := range c.watched.until("chronicle/end") {
		_, twice := seen[event.Key] // NotContains would be slow
		c.e.False(twice, "the watch delivered an event of %s twice", event.Key)
		c.e.Equal(kvdb.KVCreate, event.Action)
		c.e.Equal(event.Key, string(event.Value))
		if !c.e.traits.FoldedUpdates {
			c.e.Greater(event.ModifiedIndex, last, "the ModifiedIndex of an event; events must come in the order of their indexes")
		}
		last = event.ModifiedIndex
		seen[event.Key] = last
	}
	pairs, err := c.e.kv.Enumerate("chronicle/")
	c.e.NoError(err)
	pairs = slices.DeleteFunc(pairs, func(pair *kvdb.KVPair) bool {
		late := pair.ModifiedIndex > end.ModifiedIndex // a delayed request
		if late {
			c.e.Contains(c.unknown, pair.Key, "a write that happened after the last one must be one with an unknown outcome")
		}
		return late
	})
	if c.watched == nil {
		for _, pair := range pairs {
			seen[pair.Key] = pair.ModifiedIndex
		}
	}
	c.e.Len(seen, len(pairs), "the watch must deliver one event for each key in the store")
	for _, pair := range pairs {
		c.e.Equal(pair.ModifiedIndex, seen[pair.Key], "the ModifiedIndex of the event of %s", pair.Key)
		if _, acknowledged := c.written[pair.ModifiedIndex]; !acknowledged {
			c.e.Contains(c.unknown, pair.Key, "a key in the store must be one whose write was acknowledged with this index, or had an unknown outcome")
		}
	}
	for index, key := range c.written {
		c.e.Equal(index, seen[key], "the ModifiedIndex of the event of the acknowledged write of %s", key)
	}
}

// A watch continues after each fault of the server, without a gap or a repeat, and every
// write happens once or not at all.
func outageWatch(f fault) func(e *env) {
	return func(e *env) {
		c, changes := e.chronicle(), e.changes()
		for range 3 {
			c.until(20, 0)
			end := e.strike(f, e.everyMember()...)
			c.until(0, 4)
			end()
			c.until(20, 0)
		}
		changes.check()
		c.check()
	}
}

// Without any one of the members, including the leader, the others serve.
func outageEachMember(e *env) {
	if e.suite.Server.Members() < 3 {
		e.t.Skip("Server.Members is less than 3: there is no member to spare")
	}
	c := e.chronicle()
	for _, member := range e.everyMember() {
		end := e.strike(killed, member)
		c.until(20, 0)
		e.holds("before", "value")
		end()
		c.until(20, 0)
	}
	c.check()
}

// While any one of the members is cut off, including the leader, the others serve, and the
// lock of a client is not lost. Each member serves again before the next one is cut off,
// because without two of three there is no majority, and a lock may be lost.
func outageIsolatedMember(e *env) {
	if e.suite.Server.Members() < 3 {
		e.t.Skip("Server.Members is less than 3: there is no member to spare")
	}
	c := e.chronicle()
	pair := e.lock(e.kv, "lock", "me")
	for _, member := range e.everyMember() {
		end := e.strike(isolated, member)
		c.until(20, 0)
		end()
		c.until(20, 0)
	}
	c.check()
	e.notLost(pair)
	e.unlock(e.kv, pair)
}

// A member that is down is listed as such, without addresses for clients, and
// as healthy when it is back.
func outageMemberDown(e *env) {
	if e.suite.Server.Members() < 3 {
		e.t.Skip("Server.Members is less than 3: there is no member to spare")
	}
	if !e.traits.Members {
		e.t.Skip("Traits.Members is not set: members cannot be listed")
	}
	// down returns the number of members that are listed as down, or -1 if the call fails.
	down := func() int {
		members, err := e.kv.ListMembers()
		if err != nil { // during an election
			e.ErrorIs(err, kvdb.ErrNoConnection)
			return -1
		}
		e.Len(members, e.suite.Server.Members())
		down := 0
		for _, member := range members {
			if !member.IsHealthy && len(member.ClientUrls) == 0 {
				down++
			}
		}
		return down
	}
	e.eventually(func() bool { return down() == 0 }, "all members are healthy")
	end := e.strike(killed, e.everyMember()[1])
	e.eventually(func() bool { return down() == 1 }, "the member that is down is not healthy")
	end()
	e.eventually(func() bool { return down() == 0 }, "all members are healthy again")
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

// The holder knows that its lock is lost before another client obtains it, and cannot release
// the lock of the next holder. The fatal callback is called once, also if the holder calls
// Unlock as soon as Lost is closed.
func outageLockIsLost(e *env) {
	cb, calls := fatals()
	kv := e.openWith(e.domain, nil, cb)
	var h *hook
	if !e.lacks(hookPart) {
		h = e.hook(kv)
	}
	pair := e.lock(kv, "lock", "me")
	const prompt = 10
	promptCb, promptCalls := fatals()
	prompted := e.openWith(e.domain, nil, promptCb)
	unlocked := make(chan error, prompt)
	for i := range prompt {
		lost := e.lock(prompted, fmt.Sprint("prompt", i), "me")
		held := e.held(lost)
		go func() {
			<-held.Lost()
			unlocked <- prompted.Unlock(lost)
		}()
	}
	var guarded []kvdb.Tx // tied to the lock before it is lost
	if !e.traits.NoTx && !e.traits.SingleKeyTx {
		for range 2 {
			tx, err := kv.TxNew()
			e.NoError(err)
			e.NoError(kvdb.TxGuard(tx, pair))
			e.txWrites(tx, "guarded", "value")
			guarded = append(guarded, tx)
		}
	}
	end := e.strike(stopped, e.everyMember()...)
	waitFor(e, e.held(pair).Lost(), deathLimit+patience, "Lost of the lock is closed")
	report := wait(e, calls, "the fatal callback is called")
	e.is(kvdb.ErrLockRefreshFailed, report.err)
	e.Contains(report.text, "lock")
	if h != nil {
		obtained := fmt.Sprintf("lock me %d ", pair.ModifiedIndex)
		h.sawLocks("lock me 0 waiting", obtained+"obtained", obtained+"lost: "+kvdb.LockExpired)
	}
	for range prompt {
		e.Error(waitFor(e, unlocked, deathLimit+patience, "Unlock of a lost lock returns"))
		e.is(kvdb.ErrLockRefreshFailed, wait(e, promptCalls, "the fatal callback is called").err)
	}
	end()
	e.recovers()
	if guarded != nil {
		e.is(kvdb.ErrInvalidLock, guarded[0].Commit()) // although no other client holds the lock yet
	}
	next, err := e.peer().LockWithTimeout("lock", "next", recovery, 0)
	e.NoError(err)
	e.Greater(next.ModifiedIndex, pair.ModifiedIndex)
	if guarded != nil {
		e.is(kvdb.ErrInvalidLock, guarded[1].Commit())
		e.missing("guarded")
	}
	e.is(kvdb.ErrInvalidLock, kv.Unlock(pair))
	e.isLocked("lock", "next")
	if h != nil {
		e.Empty(h.locks, "the loss is the last step of a lock")
	}
	e.Empty(calls)
	e.Empty(promptCalls, "the fatal callback must be called once for a lost lock")
}

// A watch ends if the store cannot be reached for Traits.WatchTimeout.
func outageWatchGivesUp(e *env) {
	limit := e.watchLimit()
	r := e.watchTree("", e.index())
	began := time.Now() // the first one that stops may take the quorum along
	end := e.strike(stopped, e.everyMember()...)
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
