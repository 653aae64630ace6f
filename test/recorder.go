package test

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb"
)

// event is one call of a watch callback.
type event struct {
	prefix string
	opaque interface{}
	pair   *kvdb.KVPair
	err    error
}

// recorder is a watch callback that keeps what it gets, and checks how it is
// called.
type recorder struct {
	e       *env
	answer  func(n int, c event) error // what call n, from 1, returns; nil: nil
	arrived chan struct{}              // has an element after calls grew
	running atomic.Bool

	mu         sync.Mutex // protects the fields below
	calls      []event    // that the case has not looked at yet
	n          int        // calls so far
	end        error      // with which the watch ended
	violations []string
}

// record returns a recorder that the end of the case looks at.
func (e *env) record(answer func(n int, c event) error) *recorder {
	r := e.newRecorder(answer)
	e.recorders = append(e.recorders, r)
	return r
}

func (e *env) newRecorder(answer func(n int, c event) error) *recorder {
	return &recorder{e: e, answer: answer, arrived: make(chan struct{}, 1)}
}

func (r *recorder) callback(prefix string, opaque interface{}, pair *kvdb.KVPair, err error) error {
	if r.running.Swap(true) {
		r.violated("two calls at the same time")
	}
	defer r.running.Store(false)
	if (pair == nil) != (err != nil) {
		r.violated("a call with a pair and an error, or with neither")
	}
	c := event{prefix, opaque, pair, err}
	r.mu.Lock()
	r.n++
	n, again := r.n, r.end != nil
	r.end = err
	r.calls = append(r.calls, c)
	r.mu.Unlock()
	if again {
		r.violated("a call after the watch had ended")
	}
	select {
	case r.arrived <- struct{}{}:
	default:
	}
	if r.answer == nil {
		return nil
	}
	return r.answer(n, c)
}

func (r *recorder) violated(rule string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, rule)
}

// take returns the next call, and false when there was none yet.
func (r *recorder) take() (event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) == 0 {
		return event{}, false
	}
	c := r.calls[0]
	r.calls = r.calls[1:]
	return c, true
}

// finish runs after the instances are closed.
func (r *recorder) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rule := range r.violations {
		r.e.t.Errorf("watch callback: %s", rule)
	}
	switch {
	case r.end == kvdb.ErrWatchStopped, r.end == kvdb.ErrWatchRevisionCompacted:
	case r.end != nil:
		r.e.t.Errorf("a watch ended with %v, not with kvdb.ErrWatchStopped or kvdb.ErrWatchRevisionCompacted itself", r.end)
	case !r.e.t.Failed(): // a case that failed may not have come to its watch
		r.e.t.Error("a watch callback was not told that its watch has ended: when the instance is closed it must be called once more, with kvdb.ErrWatchStopped")
	}
}

// watchTree watches a tree of the case's instance. Where the store has no watches
// it asserts that, and returns nil: of a nil recorder, the methods that assert
// what comes do nothing, but for call and next.
func (e *env) watchTree(prefix string, waitIndex uint64) *recorder {
	e.t.Helper()
	return e.watchTreeOf(e.kv, prefix, waitIndex)
}

func (e *env) watchTreeOf(kv kvdb.Kvdb, prefix string, waitIndex uint64) *recorder {
	e.t.Helper()
	r := e.newRecorder(nil)
	return e.watches("WatchTree", r, kv.WatchTree(prefix, waitIndex, nil, r.callback))
}

// watchKey is watchTree for a key.
func (e *env) watchKey(key string, waitIndex uint64) *recorder {
	e.t.Helper()
	return e.watchKeyOf(e.kv, key, waitIndex)
}

func (e *env) watchKeyOf(kv kvdb.Kvdb, key string, waitIndex uint64) *recorder {
	e.t.Helper()
	r := e.newRecorder(nil)
	return e.watches("WatchKey", r, kv.WatchKey(key, waitIndex, nil, r.callback))
}

// watches returns r, with which call has returned err.
func (e *env) watches(call string, r *recorder, err error) *recorder {
	e.t.Helper()
	if e.lacks(watchPart) {
		e.refused(watchPart, call, err)
		return nil
	}
	e.NoError(err)
	e.recorders = append(e.recorders, r)
	return r
}

// call waits for the next call of the callback.
func (r *recorder) call() event {
	r.e.t.Helper()
	return r.callWithin(patience)
}

func (r *recorder) callWithin(limit time.Duration) event {
	r.e.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		if c, ok := r.take(); ok {
			return c
		}
		waitFor(r.e, r.arrived, time.Until(deadline), "a call of a watch callback")
	}
}

// next waits for the next event.
func (r *recorder) next() *kvdb.KVPair {
	r.e.t.Helper()
	c := r.call()
	r.e.NoError(c.err)
	return c.pair
}

// seesKeys asserts the keys of the next events.
func (r *recorder) seesKeys(keys ...string) {
	if r == nil {
		return
	}
	r.e.t.Helper()
	for _, key := range keys {
		r.e.Equal(key, r.next().Key)
	}
}

// seesValue asserts the value of the next event.
func (r *recorder) seesValue(value string) {
	if r == nil {
		return
	}
	r.e.t.Helper()
	r.e.Equal(value, string(r.next().Value))
}

// seesIndex asserts the index of the next event.
func (r *recorder) seesIndex(index uint64) {
	if r == nil {
		return
	}
	r.e.t.Helper()
	r.e.Equal(index, r.next().ModifiedIndex)
}

// ends waits for the end of the watch, which must be the next call.
func (r *recorder) ends(want error) {
	if r == nil {
		return
	}
	r.e.t.Helper()
	c := r.call()
	r.e.Nil(c.pair, "an event instead of the end of the watch")
	r.e.is(want, c.err)
}

// until returns the events up to the one of key, which is included. A case
// writes that key last.
func (r *recorder) until(key string) []*kvdb.KVPair {
	if r == nil {
		return nil
	}
	r.e.t.Helper()
	var events []*kvdb.KVPair
	for {
		events = append(events, r.next())
		if events[len(events)-1].Key == key {
			return events
		}
	}
}

// none asserts that the callback was not called any more. Its caller knows of
// another way that there is nothing to come.
func (r *recorder) none() {
	if r == nil {
		return
	}
	r.e.t.Helper()
	if c, ok := r.take(); ok {
		r.e.FailNow("unexpected call of a watch callback", "%+v %v", c.pair, c.err)
	}
}
