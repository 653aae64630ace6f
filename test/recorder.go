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

	mu         sync.Mutex // protects what is below
	calls      []event    // that the case has not looked at yet
	n          int        // calls so far
	end        error      // with which the watch ended
	violations []string
}

// record returns a recorder that the end of the case looks at.
func (e *env) record(answer func(n int, c event) error) *recorder {
	r := &recorder{e: e, answer: answer, arrived: make(chan struct{}, 1)}
	e.recorders = append(e.recorders, r)
	return r
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
	switch r.end {
	case kvdb.ErrWatchStopped, kvdb.ErrWatchRevisionCompacted:
	default:
		r.e.t.Errorf("a watch ended with %v, not with a bare watch error", r.end)
	}
}

// watchTree watches a tree of the case's instance.
func (e *env) watchTree(prefix string, waitIndex uint64) *recorder {
	e.t.Helper()
	r := e.record(nil)
	e.NoError(e.kv.WatchTree(prefix, waitIndex, nil, r.callback))
	return r
}

// watchKey watches a key of the case's instance.
func (e *env) watchKey(key string, waitIndex uint64) *recorder {
	e.t.Helper()
	r := e.record(nil)
	e.NoError(e.kv.WatchKey(key, waitIndex, nil, r.callback))
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

// ends waits for the end of the watch, which must be the next call.
func (r *recorder) ends(want error) {
	r.e.t.Helper()
	c := r.call()
	r.e.Nil(c.pair, "an event instead of the end of the watch")
	r.e.is(want, c.err)
}

// until returns the events up to the one of key, which is included. A case
// writes that key last.
func (r *recorder) until(key string) []*kvdb.KVPair {
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
	r.e.t.Helper()
	if c, ok := r.take(); ok {
		r.e.FailNow("unexpected call of a watch callback", "%+v %v", c.pair, c.err)
	}
}
