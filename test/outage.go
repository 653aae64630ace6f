package test

import (
	"cmp"
	"errors"
	"time"

	"github.com/portworx/kvdb"
)

var outageGroup = group{name: "Outages", calls: "when the server stops, dies, hangs or comes back", server: true, cases: []testCase{
	{name: "Stop", run: outageCalls(stopped), alone: true},
	{name: "Kill", run: outageCalls(killed), alone: true},
	{name: "Pause", run: outageCalls(paused), alone: true},
	{name: "WatchOverStop", run: outageWatch(stopped), alone: true},
	{name: "WatchOverKill", run: outageWatch(killed), alone: true},
	{name: "WatchOverPause", run: outageWatch(paused), alone: true},
	{name: "EachMember", run: outageEachMember, alone: true},
	{name: "IsolatedMember", run: outageIsolatedMember, alone: true},
	{name: "CutOffMember", run: outageCutOffMember, alone: true},
	{name: "CallerGivesUp", run: outageCallerGivesUp, alone: true},
	{name: "CloseInElection", run: outageCloseInElection, alone: true, needs: []*part{lockPart}},
	{name: "CloseNamesLocks", run: outageCloseNamesLocks, alone: true, needs: []*part{lockPart}},
	{name: "MemberDown", run: outageMemberDown, alone: true},
	{name: "New", run: outageNew, alone: true},
	{name: "LockSurvives", run: outageLockSurvives, alone: true, needs: []*part{lockPart}},
	{name: "LockWaitsOverStop", run: outageLockWaits, alone: true, needs: []*part{lockPart}},
	{name: "LockIsLost", run: outageLockIsLost, alone: true, needs: []*part{lockPart}},
	{name: "ElectionOverStop", run: outageElection(stopped), alone: true, needs: []*part{lockPart}},
	{name: "ElectionOverPause", run: outageElection(paused), alone: true, needs: []*part{lockPart}},
	{name: "HooksOverKill", run: outageHooks(killed, true), alone: true, needs: []*part{watchPart, hookPart}},
	{name: "HooksOverPause", run: outageHooks(paused, false), alone: true, needs: []*part{watchPart, hookPart}},
	{name: "CacheOverStop", run: outageCache(stopped), alone: true, needs: cacheGroup.needs},
	{name: "CacheOverKill", run: outageCache(killed), alone: true, needs: cacheGroup.needs},
	{name: "CacheOverPause", run: outageCache(paused), alone: true, needs: cacheGroup.needs},
	{name: "CacheOverMembers", run: outageCacheMembers, alone: true, needs: cacheGroup.needs},
	{name: "CacheGivesUp", run: outageCacheGivesUp, alone: true, needs: cacheGroup.needs},
	{name: "WatchGivesUp", run: outageWatchGivesUp, alone: true, needs: []*part{watchPart}},
}}

// recovery is the time within which a store must serve again when its server is back.
const recovery = time.Minute

// fault is a way in which a member stops serving, and serves again.
type fault struct {
	begin, end func(s Server, member int) error
}

var (
	stopped  = fault{Server.Stop, Server.Start}
	killed   = fault{Server.Kill, Server.Start}
	paused   = fault{Server.Pause, Server.Resume}
	isolated = fault{Server.Isolate, Server.Rejoin}
)

// do calls a method of the harness's server for a member. It skips the case if the server
// does not support it.
func (e *env) do(f func(s Server, member int) error, member int) {
	e.t.Helper()
	err := f(e.suite.Server, member)
	if errors.Is(err, errors.ErrUnsupported) {
		e.t.Skipf("the harness's server cannot do this: %v", err)
	}
	e.NoError(err)
}

// strike starts a fault of the members, and returns a function that ends it. The end of the
// case ends it too.
func (e *env) strike(f fault, members ...int) (end func()) {
	e.t.Helper()
	var struck []int
	end = func() {
		ending := struck
		struck = nil
		for _, member := range ending {
			e.do(f.end, member)
		}
	}
	e.t.Cleanup(end)
	for _, member := range members {
		struck = append(struck, member)
		e.do(f.begin, member)
	}
	return end
}

func (e *env) everyMember() []int {
	var members []int
	for i := range e.suite.Server.Members() {
		members = append(members, i)
	}
	return members
}

func (e *env) callLimit() time.Duration {
	return cmp.Or(e.traits.CallTimeout, 10*time.Second) + 5*time.Second // with room for a busy machine
}

// recovers waits until writes succeed again.
func (e *env) recovers() {
	e.t.Helper()
	deadline := time.Now().Add(recovery)
	for {
		_, err := e.kv.Put("recovered", "value", 0)
		if err == nil {
			return
		}
		e.outageError("Put", err)
		e.True(time.Now().Before(deadline), "the instance must work again after the outage; the last error is %v", err)
	}
}

// watchLimit is how long a watch waits for a store that cannot be reached.
func (e *env) watchLimit() time.Duration { return cmp.Or(e.traits.WatchTimeout, 50*time.Second) }

// outageError asserts the error of a write during an outage, and reports whether it means
// that nothing was written.
func (e *env) outageError(call string, err error) (nothingWritten bool) {
	e.t.Helper()
	unknown := errors.Is(err, kvdb.ErrUnknownOutcome)
	e.True(unknown || errors.Is(err, kvdb.ErrNoConnection),
		"%s during an outage returned %v; the error must wrap kvdb.ErrNoConnection, or kvdb.ErrUnknownOutcome if a write may have happened", call, err)
	return !unknown
}

// Calls during an outage return in time with an error that names it. A write that certainly
// failed is not in the store. The instance works when the store is back.
func outageCalls(f fault) func(e *env) {
	return func(e *env) {
		e.put("before", "value")
		end := e.strike(f, e.everyMember()...)
		reads := map[string]func() error{
			"Get":       func() error { _, err := e.kv.Get("before"); return err },
			"Enumerate": func() error { _, err := e.kv.Enumerate(""); return err },
			"Keys":      func() error { _, err := e.kv.Keys("", ""); return err },
		}
		if !e.lacks(lockPart) {
			reads["IsKeyLocked"] = func() error { _, _, err := e.kv.IsKeyLocked("lock"); return err }
		}
		writes := map[string]func() error{
			"Put":    func() error { _, err := e.kv.Put("new/put", "x", 0); return err },
			"Create": func() error { _, err := e.kv.Create("new/create", "x", 0); return err },
			"Delete": func() error { _, err := e.kv.Delete("before"); return err },
			"CompareAndSet": func() error {
				_, err := e.kv.CompareAndSet(&kvdb.KVPair{Key: "new/cas", Value: []byte("x")}, kvdb.KVModifiedIndex, nil)
				return err
			},
		}
		if !e.traits.NoTx {
			writes["Tx"] = func() error { _, err := e.txPut("new/tx", "x"); return err }
		}
		errs := e.timed(reads)
		for call, err := range errs {
			e.ErrorIs(err, kvdb.ErrNoConnection, call)
		}
		certain := map[string]bool{}
		for call, err := range e.timed(writes) {
			certain[call] = e.outageError(call, err)
		}
		end()
		e.recovers()
		for call, key := range map[string]string{
			"Put": "new/put", "Create": "new/create", "CompareAndSet": "new/cas", "Tx": "new/tx",
		} {
			if certain[call] {
				e.missing(key)
			}
		}
		if certain["Delete"] {
			e.holds("before", "value")
		}
		e.put("after", "value")
		e.holds("after", "value")
		e.unlock(e.kv, e.lock(e.kv, "lock", "me"))
	}
}

// timed makes all calls at once, and asserts that they return in time.
func (e *env) timed(calls map[string]func() error) map[string]error {
	e.t.Helper()
	began := time.Now()
	names := []string{}
	for name := range calls {
		names = append(names, name)
	}
	errs := concurrently(len(names), func(i int) error { return calls[names[i]]() })
	e.Less(time.Since(began), e.callLimit(), "the time of the calls during an outage; Traits.CallTimeout declares another limit than 10 s")
	byName := map[string]error{}
	for i, name := range names {
		byName[name] = errs[i]
	}
	return byName
}
