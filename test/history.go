package test

import (
	"errors"
	"strconv"
	"time"

	"github.com/portworx/kvdb"
)

// History is implemented by a server whose store can be restored to an earlier state. While
// the function meanwhile runs, clients reach the store only at the endpoints that it gets.
type History interface {
	// Wipe makes the store as empty as before its first use.
	Wipe(meanwhile func(endpoints []string) error) error
	// Backup keeps the store's present state: with online by the store's own
	// means, which may be an error that wraps errors.ErrUnsupported; else all
	// members end, their data is copied, and they start again.
	Backup(online bool) error
	// Restore puts back what the last Backup kept.
	Restore(meanwhile func(endpoints []string) error) error
}

var historyGroup = group{name: "History", calls: "when the store went back to an earlier state", server: true, cases: []testCase{
	{name: "Wiped", run: historyWentBack(wiped, false), alone: true, needs: []*part{lockPart, watchPart}},
	{name: "WipedAndPassed", run: historyWentBack(wiped, true), alone: true, needs: []*part{lockPart, watchPart}},
	{name: "Copy", run: historyWentBack(fromCopy, false), alone: true, needs: []*part{lockPart, watchPart}},
	{name: "CopyAndPassed", run: historyWentBack(fromCopy, true), alone: true, needs: []*part{lockPart, watchPart}},
	{name: "Snapshot", run: historyWentBack(fromSnapshot, false), alone: true, needs: []*part{lockPart, watchPart}},
	{name: "SnapshotAndPassed", run: historyWentBack(fromSnapshot, true), alone: true, needs: []*part{lockPart, watchPart}},
	{name: "CacheOfWiped", run: historyCache(wiped), alone: true, needs: cacheGroup.needs},
	{name: "CacheOfCopy", run: historyCache(fromCopy), alone: true, needs: cacheGroup.needs},
	{name: "CacheOfSnapshot", run: historyCache(fromSnapshot), alone: true, needs: cacheGroup.needs},
	{name: "LockInBackup", run: historyLockInBackup, alone: true, needs: []*part{lockPart}},
}}

// historySoon is the time within which an instance works after its store went back.
const historySoon = 15 * time.Second

// wayBack is a way in which the history of a store goes back.
type wayBack int

const (
	wiped        wayBack = iota
	fromCopy             // of the members' data
	fromSnapshot         // of the store's own
)

// begin saves the state that goBack restores.
func (e *env) begin(way wayBack) {
	e.t.Helper()
	if e.suite.History == nil {
		e.t.Skip("Harness.History is nil, so the store cannot be restored to an earlier state")
	}
	if way == wiped {
		return
	}
	err := e.suite.History.Backup(way == fromSnapshot)
	if errors.Is(err, errors.ErrUnsupported) {
		e.t.Skipf("the harness's server cannot do this: %v", err)
	}
	e.NoError(err)
	e.recovers()
}

// goBack restores the store to the state at begin.
func (e *env) goBack(way wayBack, meanwhile func(endpoints []string) error) {
	e.t.Helper()
	if way == wiped {
		e.NoError(e.suite.History.Wipe(meanwhile))
	} else {
		e.NoError(e.suite.History.Restore(meanwhile))
	}
}

// historyWentBack asserts what an instance does when its store goes back to an earlier
// state. With passed, the same keys are written again until the store's index is larger than
// any that the instance has seen, before the instance can ask.
//
//   - Each watch, with or without events so far, ends with
//     kvdb.ErrWatchRevisionCompacted and gets no event of the new history.
//   - Each lock that is not in the state that came back is reported as lost, once, and its
//     Unlock returns kvdb.ErrInvalidLock. A client that waits for it obtains it.
//   - Reads, writes, locks and new watches of the same instance work.
func historyWentBack(way wayBack, passed bool) func(e *env) {
	return func(e *env) {
		if way == fromSnapshot && passed && e.traits.RestoredIndexGrows {
			e.except("not when the store was restored by its own means and written to before the instance asks")
			e.t.Skip("the store's index never goes back when it is restored")
		}
		e.put("kept", "value")
		e.put("busy/key", "value")
		e.begin(way)

		cb, calls := fatals()
		holder := e.openWith(e.domain, nil, cb)
		pair := e.lock(holder, "lock", "holder")
		start := e.index()
		watches := map[string]*recorder{
			"idle key": e.watchKey("none", 0), "idle tree": e.watchTree("none/", 0),
			"key": e.watchKey("busy/key", 0), "tree": e.watchTree("busy/", 0),
			"key from an index": e.watchKey("busy/key", start), "tree from an index": e.watchTree("", start),
		}
		last := e.writeBusy()
		for _, name := range []string{"key", "tree", "key from an index", "tree from an index"} {
			for watches[name].next().ModifiedIndex < last {
			}
		}
		waited := e.lockLater("lock")

		var meanwhile func(endpoints []string) error
		if passed {
			meanwhile = func(endpoints []string) error { return e.writePast(endpoints, last) }
		}
		e.goBack(way, meanwhile)
		back := time.Now()

		for name, r := range watches {
			e.t.Logf("waiting for the end of the watch %q", name) // names the watch of a failure
			r.ends(kvdb.ErrWatchRevisionCompacted)
		}
		waitFor(e, e.held(pair).Lost(), patience, "Lost of the lock is closed, because the lock is not in the state that came back")
		report := wait(e, calls, "the fatal callback is called, because the lock is lost")
		e.is(kvdb.ErrLockRefreshFailed, report.err)
		e.NoError(wait(e, waited, "another client obtains the lock"))
		for _, kv := range []kvdb.Kvdb{e.kv, holder} {
			e.works(kv, way)
		}
		e.Less(time.Since(back), historySoon+patience/3, "the time until everything works") // with room for a busy machine
		e.is(kvdb.ErrInvalidLock, holder.Unlock(pair))
		for _, r := range watches {
			r.none()
		}
		e.Empty(calls)
	}
}

// writeBusy writes the keys below "busy/" and returns the index of the last write, which
// is one of "busy/key".
func (e *env) writeBusy() (last uint64) {
	e.t.Helper()
	const writes = 50
	for i := range writes {
		e.put("busy/"+strconv.Itoa(i), i)
		last = e.put("busy/key", i).ModifiedIndex
	}
	return last
}

// lockLater waits for a lock on a goroutine and releases it. The channel gets the first
// error, or nil.
func (e *env) lockLater(key string) <-chan error {
	e.t.Helper()
	waiter := e.peer()
	waited := make(chan error, 1)
	go func() {
		pair, err := waiter.LockWithTimeout(key, "waiter", recovery+patience, 0)
		if err == nil {
			err = waiter.Unlock(pair)
		}
		waited <- err
	}()
	return waited
}

// writePast writes the keys that a case has written before, and more, until the index of
// the store is larger than index.
func (e *env) writePast(endpoints []string, index uint64) error {
	const margin = 10
	kv, err := e.suite.Init(e.domain, endpoints, e.options(nil), nil)
	if err != nil {
		return err
	}
	defer kvdb.Close(kv)
	for i := 0; ; i++ {
		if _, err := kv.Put("busy/"+strconv.Itoa(i), "other", 0); err != nil {
			return err
		}
		pair, err := kv.Put("busy/key", "other", 0)
		if err != nil || pair.ModifiedIndex > index+margin {
			return err
		}
	}
}

// works asserts that an instance works on the state that came back.
func (e *env) works(kv kvdb.Kvdb, way wayBack) {
	e.t.Helper()
	deadline := time.Now().Add(historySoon)
	for _, err := kv.Put("new", "value", 0); err != nil; _, err = kv.Put("new", "value", 0) {
		e.outageError("Put", err)
		e.True(time.Now().Before(deadline), "writes must succeed again; the last error is %v", err)
	}
	pair, err := kv.Get("new")
	e.NoError(err)
	e.Equal("value", string(pair.Value))
	pair, err = kv.Get("kept")
	if way == wiped {
		e.is(kvdb.ErrNotFound, err)
	} else {
		e.NoError(err)
		e.Equal("value", string(pair.Value))
	}
	pairs, err := kv.Enumerate("new")
	e.NoError(err)
	e.Equal([]string{"new"}, keysOf(pairs))
	r := e.record(nil)
	e.NoError(kv.WatchTree("new", 0, nil, r.callback))
	written, err := kv.Put("newer", "value", 0)
	e.NoError(err)
	e.Equal(written.ModifiedIndex, r.next().ModifiedIndex)
	_, err = kv.Delete("newer")
	e.NoError(err)
	lock, err := kv.LockWithTimeout("lock", "again", historySoon, 0)
	e.NoError(err)
	e.notLost(lock)
	e.NoError(kv.Unlock(lock))
}

// A lock that is in the restored state is held, or reported as lost, and the holder and the
// store agree about that. A lock that the same instance obtained after the backup is lost.
func historyLockInBackup(e *env) {
	cb, calls := fatals()
	holder := e.openWith(e.domain, nil, cb)
	before := e.lock(holder, "before", "holder")
	e.begin(fromCopy)
	select {
	case <-e.held(before).Lost(): // the outage was too long
		e.is(kvdb.ErrLockRefreshFailed, wait(e, calls, "the fatal callback").err)
	default:
	}
	after := e.lock(holder, "after", "holder")
	e.goBack(fromCopy, nil)
	waitFor(e, e.held(after).Lost(), patience, "Lost of the lock is closed")
	e.is(kvdb.ErrLockRefreshFailed, wait(e, calls, "the fatal callback").err)
	e.is(kvdb.ErrInvalidLock, holder.Unlock(after))
	e.recovers()

	next := e.peer()
	_, err := next.LockWithTimeout("before", "next", deathLimit, 0)
	if err != nil {
		e.ErrorIs(err, kvdb.ErrExist)
		select {
		case <-e.held(before).Lost(): // late, or the store was not ready for long: it must follow
			_, err = next.LockWithTimeout("before", "next", deathLimit+patience, 0)
			e.NoError(err, "another client obtains a lock that its holder has lost")
		default:
		}
	}
	if err != nil {
		e.isLocked("before", "holder")
		e.NoError(holder.Unlock(before))
		e.isLocked("before", "")
		e.Empty(calls)
		return
	}
	waitFor(e, e.held(before).Lost(), time.Millisecond, "Lost of the lock is closed before another client obtains it")
	e.is(kvdb.ErrInvalidLock, holder.Unlock(before))
	e.isLocked("before", "next")
}
