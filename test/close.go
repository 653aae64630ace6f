package test

import (
	"errors"
	"io"
	"time"

	"github.com/portworx/kvdb"
)

var closeGroup = group{name: "Close", calls: "kvdb.Close", cases: []testCase{
	{name: "EveryCallAfterwards", run: closeEveryCallAfterwards},
	{name: "EndsWatches", run: closeEndsWatches, needs: []*part{watchPart}},
	{name: "WhileInUse", run: closeWhileInUse},
	{name: "OthersLiveOn", run: closeOthersLiveOn},
	{name: "LeavesNoGoroutine", run: closeLeavesNoGoroutine, alone: true},
}}

func closeEveryCallAfterwards(e *env) {
	_, ok := e.kv.(io.Closer)
	e.True(ok, "the Kvdb that Init returns must be an io.Closer")
	e.put("key", "value")
	pair := e.lock(e.kv, "held", "me")
	var tx kvdb.Tx
	if !e.traits.NoTx {
		tx = e.tx()
		e.txWrites(tx, "key", "late")
	}
	e.close(e.kv)
	e.NoError(kvdb.Close(e.kv), "a second Close must do nothing")
	for call, f := range e.supported(calls(e.kv)) {
		e.ErrorIs(f(), kvdb.ErrClosed, "%s of a closed instance must return kvdb.ErrClosed", call)
	}
	e.Error(e.kv.Unlock(pair))
	_, err := e.kv.TxNew()
	e.Error(err)
	if tx != nil {
		e.ErrorIs(tx.Commit(), kvdb.ErrClosed)
	}
	e.NotPanics(func() {
		_ = e.kv.String()
		_ = e.kv.Capabilities()
		_ = e.kv.GetEndpoints()
		e.kv.SetFatalCb(nil)
		e.kv.SetLockHoldDuration(time.Second)
	})
}

func closeEndsWatches(e *env) {
	busy, idle := e.watchTree("", 0), e.watchKey("idle", 0)
	e.put("key", "value")
	busy.next()
	e.close(e.kv)
	busy.ends(kvdb.ErrWatchStopped)
	idle.ends(kvdb.ErrWatchStopped)
}

// Calls that run while the instance is closed succeed, or fail in good order.
func closeWhileInUse(e *env) {
	for range 5 {
		kv := e.open(e.domain)
		e.NoError(func() error { _, err := kv.Put("key", "value", 0); return err }())
		running := make(chan struct{}, 8)
		done := make(chan error, 1)
		go func() {
			done <- errors.Join(concurrently(8, func(i int) error {
				for first := true; ; first = false {
					_, err := kv.Put("key", "value", 0)
					if err == nil {
						_, err = kv.Enumerate("")
					}
					if err == nil && !e.lacks(watchPart) {
						err = kv.WatchKey("other", 0, nil, func(string, interface{}, *kvdb.KVPair, error) error { return nil })
					}
					if first {
						running <- struct{}{}
					}
					if errors.Is(err, kvdb.ErrClosed) {
						return nil
					} else if err != nil {
						return err
					}
				}
			})...)
		}()
		wait(e, running, "a call runs")
		e.close(kv)
		err := wait(e, done, "the calls that run when the instance is closed return")
		e.NoError(err, "a call that runs during Close must succeed, or return kvdb.ErrClosed")
	}
}

func closeOthersLiveOn(e *env) {
	other := e.open(e.domain)
	_, err := other.Put("key", "value", 0)
	e.NoError(err)
	r := e.watchKey("key", e.put("key", "mine").ModifiedIndex)
	pair := e.lock(e.kv, "lock", "me")
	e.close(other)
	e.put("key", "still there")
	r.seesValue("still there")
	e.isLocked("lock", "me")
	e.unlock(e.kv, pair)
}

func closeLeavesNoGoroutine(e *env) {
	e.close(e.kv)
	use := func() {
		kv := e.open(e.domain)
		r := e.watchTreeOf(kv, "", 0)
		_, err := kv.Put("key", "value", 0)
		e.NoError(err)
		r.seesKeys("key")
		e.lock(kv, "lock", "me")
		e.close(kv)
	}
	use() // starts the goroutines that live as long as the process
	var before int
	e.eventually(func() bool { // the goroutines of earlier cases end
		last := before
		before = e.goroutines()
		return before == last
	}, "the number of goroutines does not settle")
	for range 3 {
		use()
	}
	e.eventually(func() bool { return e.goroutines() <= before }, "no goroutine is left after Close")
}
