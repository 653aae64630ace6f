package test

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/portworx/kvdb"
)

// If a member that clients reach is cut off from the other members, a few calls are slow
// until the instance leaves it. That holds for every member, including the leader.
func outageCutOffMember(e *env) {
	peers, ok := e.suite.Server.(Peers)
	if !ok || e.suite.Server.Members() < 3 {
		e.t.Skip("Harness.Server is no test.Peers: it cannot cut a member off from the others alone")
	}
	const (
		settling = 5 * time.Second // for an election, and for the instance to notice
		calls    = 200
		slow     = 300 * time.Millisecond
		most     = 5 // calls that may be slow, or fail
	)
	cutOff := fault{
		func(_ Server, member int) error { return peers.CutOff(member) },
		func(_ Server, member int) error { return peers.Connect(member) },
	}
	for _, member := range e.everyMember() {
		e.first = member
		kv := e.open(e.domain)
		_, err := kv.Put("key", "value", 0)
		e.NoError(err)
		end := e.strike(cutOff, member)
		call := func() (time.Duration, error) {
			began := time.Now()
			_, putErr := kv.Put("key", "value", 0)
			_, err := kv.Get("key")
			if putErr != nil {
				err = putErr
			}
			return time.Since(began), err
		}
		for deadline := time.Now().Add(settling); time.Now().Before(deadline); {
			if _, err := call(); err != nil {
				e.outageError("Put and Get", err)
			}
		}
		var tooSlow []time.Duration
		for range calls {
			took, err := call()
			if err != nil { // a member may drop its clients late
				e.outageError("Put and Get", err)
			}
			if took > slow || err != nil {
				tooSlow = append(tooSlow, took)
				e.LessOrEqual(len(tooSlow), most, "the number of slow calls with member %d cut off; another endpoint must serve them: %v", member, tooSlow)
			}
		}
		end()
		e.recovers()
		e.close(kv)
	}
}

// If the store does not answer, a call ends with its context, and the error names the
// context.
func outageCallerGivesUp(e *env) {
	pair := e.lock(e.kv, "unlocked", "me")
	end := e.strike(paused, e.everyMember()...)
	ctx, cancel := context.WithTimeout(e.t.Context(), 200*time.Millisecond)
	defer cancel()
	all := harmless(e, e.kv, kvdb.WithContext(ctx, e.kv), "lock")
	all["Unlock"] = func() error { return kvdb.WithContext(ctx, e.kv).Unlock(pair) }
	began := time.Now()
	var names []string
	for name := range all {
		names = append(names, name)
	}
	errs := concurrently(len(names), func(i int) error { return all[names[i]]() })
	e.Less(time.Since(began), 3*time.Second, "the time of calls whose context has ended")
	for i, err := range errs {
		e.endedBy(ctx, err, "%s", names[i])
	}
	end()
	e.recovers()
	if pair == nil {
		return
	}
	e.eventually(func() bool {
		locked, _, err := e.kv.IsKeyLocked("unlocked")
		return err == nil && !locked
	}, "the lock whose Unlock was given up is released")
}

// closeLimit is how long Close may take.
const closeLimit = 10*time.Second + 5*time.Second // with room for a busy machine

// Close releases locks also while the members elect a leader.
func outageCloseInElection(e *env) {
	if e.suite.Server.Members() < 3 {
		e.t.Skip("Server.Members is less than 3: there is no member to spare")
	}
	for _, member := range e.everyMember() {
		kv, other := e.open(e.domain), e.peer()
		e.lock(kv, "lock", "closed")
		_, err := other.Get("key")
		e.is(kvdb.ErrNotFound, err)
		end := e.strike(killed, member)
		began := time.Now()
		e.close(kv)
		e.Less(time.Since(began), closeLimit)
		pair, err := other.LockWithTimeout("lock", "next", 5*time.Second, 0)
		e.NoError(err, "with member %d killed, a released lock must be obtained at once", member)
		end()
		e.recovers()
		e.NoError(other.Unlock(pair))
	}
}

// The error of Close names the locks that it could not release in its time.
func outageCloseNamesLocks(e *env) {
	if _, ok := e.suite.Server.(Peers); !ok {
		e.t.Skip("the harness's server is in this process, where locks can always be released")
	}
	kv := e.open(e.domain)
	e.lock(kv, "dir/first", "closed")
	released := e.lock(kv, "dir/released", "closed")
	e.lock(kv, "second", "closed")
	e.NoError(kv.Unlock(released))
	end := e.strike(paused, e.everyMember()...)
	began := time.Now()
	e.instances = slices.DeleteFunc(e.instances, func(other kvdb.Kvdb) bool { return other == kv })
	err := kvdb.Close(kv)
	e.Less(time.Since(began), closeLimit)
	e.ErrorIs(err, kvdb.ErrNoConnection)
	for _, lock := range []string{"dir/first", "second"} {
		e.ErrorContains(err, lock)
	}
	e.NotContains(err.Error(), "dir/released")
	end()
	e.recovers()
	_, err = e.peer().LockWithTimeout("second", "next", deathLimit, 0)
	e.NoError(err)
}

// Lock continues when connections are lost, until its try duration is over, which may be
// longer than the time limit of other calls.
func outageLockWaits(e *env) {
	end := e.strike(stopped, e.everyMember()...)
	callTimeout := cmp.Or(e.traits.CallTimeout, 10*time.Second)
	type result struct {
		pair *kvdb.KVPair
		err  error
	}
	patient, impatient := make(chan result, 1), make(chan result, 1)
	lock := func(wait time.Duration, results chan result) {
		pair, err := e.kv.LockWithTimeout("lock", "me", wait, 0)
		results <- result{pair, err}
	}
	go lock(callTimeout/2, impatient)
	early := waitFor(e, impatient, callTimeout/2+e.callLimit(), "Lock with a short try duration returns during an outage")
	e.ErrorIs(early.err, kvdb.ErrNoConnection)
	e.NotErrorIs(early.err, kvdb.ErrExist, "nobody was found to hold it")
	go lock(2*callTimeout+recovery, patient)
	select {
	case early := <-patient:
		e.NoError(early.err, "the store came back within the try duration")
	case <-time.After(callTimeout * 3 / 2):
	}
	end()
	obtained := waitFor(e, patient, recovery, "a waiter obtains the lock when the store is back")
	e.NoError(obtained.err)
	e.NoError(e.kv.Unlock(obtained.pair))
}
