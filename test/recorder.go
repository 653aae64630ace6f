package test

import (
	"errors"
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

// recorder is a watch callback that records its calls and checks the rules for them.
type recorder struct {
	e       *env
	answer  func(n int, c event) error // returns the result of call n, from 1; may be nil
	arrived chan struct{}              // has an element after calls grew
	running atomic.Bool

	mu         sync.Mutex // protects the fields below
	calls      []event    // that the case has not taken yet
	n          int        // the number of calls so far
	end        error      // that ended the watch
	violations []string   // of the rules for calls
}

// record returns a recorder that finish checks at the end of the case.
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
		r.violated("two calls run at the same time; the calls of one watch must come one after the other")
	}
	defer r.running.Store(false)
	if (pair == nil) != (err != nil) {
		r.violated("a call has a pair and an error, or neither; an event must have a pair only, and the end an error only")
	}
	c := event{prefix, opaque, pair, err}
	r.mu.Lock()
	r.n++
	n, again := r.n, r.end != nil
	r.end = err
	r.calls = append(r.calls, c)
	r.mu.Unlock()
	if again {
		r.violated("a call comes after the one with an error, which must be the last")
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

// take returns the next call, and false if there is none yet.
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

// finish checks the calls. It runs after the instances are closed.
func (r *recorder) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rule := range r.violations {
		r.e.t.Errorf("watch callback: %s", rule)
	}
	switch {
	case r.end == kvdb.ErrWatchStopped, r.end == kvdb.ErrWatchRevisionCompacted:
	case r.end != nil:
		r.e.t.Errorf("a watch ended with the error %v; it must be kvdb.ErrWatchStopped or kvdb.ErrWatchRevisionCompacted itself", r.end)
	case !r.e.t.Failed(): // a case that failed may not have come to its watch
		r.e.t.Error("a watch did not end when its instance was closed: Close must call the callback once more, with kvdb.ErrWatchStopped. " +
			"If the store has no watches, WatchKey and WatchTree must return kvdb.ErrNotSupported, and Traits.NoWatches declares that")
	}
}

// watchTree watches a tree of the case's instance. If the store has no watches, it asserts
// that the call is refused, and returns nil. On a nil recorder only call and next fail; the
// other methods do nothing.
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

// watches returns the recorder r of a watch whose call returned err.
func (e *env) watches(call string, r *recorder, err error) *recorder {
	e.t.Helper()
	if e.lacks(watchPart) {
		e.refused(watchPart, call, err)
		return nil
	}
	if errors.Is(err, kvdb.ErrWatchRevisionCompacted) {
		e.FailNow(call + " returned kvdb.ErrWatchRevisionCompacted; WatchKey and WatchTree must return nil, and the callback gets the error " +
			"(in a driver, Watch returns a Stream whose Next returns it)")
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
	return r.callOrFail(limit, "a call of the watch callback, with an event or the end of the watch")
}

// callOrFail waits for the next call of the callback. what says what must happen.
func (r *recorder) callOrFail(limit time.Duration, what string) event {
	r.e.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		if c, ok := r.take(); ok {
			return c
		}
		waitFor(r.e, r.arrived, time.Until(deadline), what)
	}
}

// next waits for the next event.
func (r *recorder) next() *kvdb.KVPair {
	r.e.t.Helper()
	c := r.call()
	r.e.False(c.err == kvdb.ErrWatchRevisionCompacted, "the watch ended with kvdb.ErrWatchRevisionCompacted where an event must come: a watch that is running must survive Compact, and a watch from an index must deliver what came since, as far back as Traits.History, NoCompact and VolatileHistory declare")
	r.e.NoError(c.err, "the watch ended where an event must come")
	return c.pair
}

// seesKeys asserts the keys of the next events.
func (r *recorder) seesKeys(keys ...string) {
	if r == nil {
		return
	}
	r.e.t.Helper()
	for _, key := range keys {
		r.e.Equal(key, r.next().Key, "the key of the next event")
	}
}

// seesValue asserts the value of the next event.
func (r *recorder) seesValue(value string) {
	if r == nil {
		return
	}
	r.e.t.Helper()
	r.e.Equal(value, string(r.next().Value), "the value of the next event")
}

// seesIndex asserts the index of the next event.
func (r *recorder) seesIndex(index uint64) {
	if r == nil {
		return
	}
	r.e.t.Helper()
	r.e.Equal(index, r.next().ModifiedIndex, "the ModifiedIndex of the next event")
}

// ends waits for the end of the watch, which must be the next call.
func (r *recorder) ends(want error) {
	if r == nil {
		return
	}
	r.e.t.Helper()
	c := r.call()
	r.e.Nil(c.pair, "the watch delivered an event, where it must end with %v", want)
	r.e.is(want, c.err)
}

// until returns the events up to the first one of key, including it.
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

// none asserts that the callback was not called again. The caller must know by other means
// that no call is on its way.
func (r *recorder) none() {
	if r == nil {
		return
	}
	r.e.t.Helper()
	if c, ok := r.take(); ok {
		r.e.FailNow("a watch callback was called where no call must come", "pair %+v, error %v", c.pair, c.err)
	}
}
