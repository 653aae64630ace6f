package test

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/portworx/kvdb"
)

// witness is a hook that records what it is told about requests, connections and watches.
type witness struct {
	mu       sync.Mutex                // protects the fields below
	attempts map[uint64][]kvdb.Request // by the number of the call
	made     int                       // connections
	lost     []error                   // the causes of the ends of connections
	watches  []sighting
	queued   int // the largest length of a queue
}

// sighting is what a hook is told about a watch: that it was interrupted or resumed, or has
// ended.
type sighting struct {
	what string
	at   time.Time
	gap  time.Duration
	err  error
}

type callNumber struct{}

func (w *witness) OnRequest(ctx context.Context, r kvdb.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n, ok := ctx.Value(callNumber{}).(uint64); ok {
		w.attempts[n] = append(w.attempts[n], r)
	}
}

func (w *witness) OnConnectionMade(string, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
}

func (w *witness) OnConnectionLost(_, _ string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = append(w.lost, err)
}

func (w *witness) OnWatchStart(kvdb.Watch)                  {}
func (w *witness) OnWatchInterrupted(_ kvdb.Watch, e error) { w.see("interrupted", 0, e) }
func (w *witness) OnWatchResumed(_ kvdb.Watch, gap time.Duration) {
	w.see("resumed", gap, nil)
}
func (w *witness) OnWatchEnd(_ kvdb.Watch, err, _ error) { w.see("ended", 0, err) }

func (w *witness) OnWatchQueue(_ kvdb.Watch, queued int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queued = max(w.queued, queued)
}

func (w *witness) see(what string, gap time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watches = append(w.watches, sighting{what, time.Now(), gap, err})
}

// last reports whether the last sighting of the watch is what.
func (w *witness) last(what string) func() bool {
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.watches) > 0 && w.watches[len(w.watches)-1].what == what
	}
}

// isUnanswered reports whether there was an attempt without an answer.
func (w *witness) isUnanswered() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, attempts := range w.attempts {
		if attempts[len(attempts)-1].Err != nil {
			return true
		}
	}
	return false
}

// connections returns how many connections were made and lost.
func (w *witness) connections() (made, lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.made, len(w.lost)
}

// Hooks see an outage: attempts without an answer and their repetition, lost and new
// connections, and a watch that is interrupted and resumed. isDeath says that the fault ends
// all connections.
func outageHooks(f fault, isDeath bool) func(e *env) {
	return func(e *env) {
		kv, w := e.open(e.domain), &witness{attempts: map[uint64][]kvdb.Request{}}
		e.NoError(kvdb.AddHooks(kv, w))
		before, _ := w.connections()
		if e.traits.OutageUntold {
			e.outageUntold(f, kv, w)
			return
		}
		e.Positive(before, "AddHooks must tell a hook which connections exist")
		r := e.watchTreeOf(kv, "watched/", e.index())
		e.put("watched/before", "value")
		e.Equal("watched/before", r.next().Key)
		errs := e.readers(kv, "watched/before")
		end := e.strike(f, e.everyMember()...)
		e.eventually(w.last("interrupted"), "hooks see that the watch is interrupted")
		e.eventually(w.isUnanswered, "hooks see an attempt without an answer")
		ended := time.Now()
		end()
		e.recovers()
		e.eventually(w.last("resumed"), "hooks see that the watch is resumed")
		e.put("watched/after", "value")
		e.Equal("watched/after", r.next().Key)
		w.checkAttempts(e, kv.String(), errs())
		if made, lost := w.connections(); isDeath {
			e.Greater(made, before, "hooks must see the connections after the outage")
			e.GreaterOrEqual(lost, before, "hooks must see that connections are lost")
			e.NotContains(w.lost[:before], nil, "the causes of the loss of the first connections")
		}
		e.close(kv)
		e.eventually(func() bool { made, lost := w.connections(); return made == lost }, "hooks see the end of each connection once")
		w.checkWatch(e, ended)
	}
}

// outageUntold asserts that hooks see nothing of an outage but the failing operations.
func (e *env) outageUntold(f fault, kv kvdb.Kvdb, w *witness) {
	r := e.watchTreeOf(kv, "watched/", e.index())
	end := e.strike(f, e.everyMember()...)
	_, err := kvdb.WithContext(context.WithValue(e.t.Context(), callNumber{}, uint64(1)), kv).Get("watched/key")
	e.outageError("Get", err)
	end()
	e.recovers()
	e.put("watched/key", "value")
	e.Equal("watched/key", r.next().Key)
	made, _ := w.connections()
	e.Zero(made, "hooks see connections, so Traits.OutageUntold is wrong")
	w.mu.Lock()
	defer w.mu.Unlock()
	e.Empty(w.attempts, "hooks see requests, so Traits.OutageUntold is wrong")
	e.Empty(w.watches, "hooks see that the watch is interrupted, so Traits.OutageUntold is wrong")
}

// readers start goroutines that read a key all the time. The function returned ends them, and
// returns the errors of the reads, which have the numbers of their calls in their contexts.
func (e *env) readers(kv kvdb.Kvdb, key string) (errs func() map[uint64]error) {
	var (
		mu      sync.Mutex // protects results
		results = map[uint64]error{}
		reading sync.WaitGroup
	)
	ctx, cancel := context.WithCancel(e.t.Context())
	for reader := range uint64(4) {
		reading.Go(func() {
			for n := reader; ctx.Err() == nil; n += 4 {
				_, err := kvdb.WithContext(context.WithValue(e.t.Context(), callNumber{}, n), kv).Get(key)
				mu.Lock()
				results[n] = err
				mu.Unlock()
			}
		})
	}
	errs = func() map[uint64]error {
		cancel()
		reading.Wait()
		return results
	}
	e.t.Cleanup(func() { errs() })
	return errs
}

// checkAttempts asserts the attempts of reads that had these errors.
func (w *witness) checkAttempts(e *env, backend string, errs map[uint64]error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	repeated := 0
	for call, err := range errs {
		attempts := w.attempts[call]
		for i, a := range attempts {
			e.Equal(backend, a.Backend)
			e.Equal(i+1, a.Attempt, "the number of an attempt of call %d: %v", call, attempts)
			isAnswer := a.Fate == kvdb.FateAnswered
			e.Equal(isAnswer, a.Err == nil, "an attempt has an error unless it is answered: %v", a)
			if isAnswer || a.Fate == kvdb.FatePerhaps {
				_, _, splitErr := net.SplitHostPort(a.Endpoint)
				e.NoError(splitErr, "the endpoint must be host:port: %v", a)
				e.Positive(a.Took)
			}
			if isAnswer {
				e.Equal(len(attempts), i+1, "an answered attempt is the last: %v", attempts)
			}
		}
		if err == nil {
			e.NotEmpty(attempts, "hooks must see the attempts of call %d", call)
			e.Equal(kvdb.FateAnswered, attempts[len(attempts)-1].Fate, "the last attempt of a read that has succeeded")
		} else {
			e.ErrorIs(err, kvdb.ErrNoConnection)
		}
		if len(attempts) > 1 {
			repeated++
		}
	}
	e.Positive(repeated, "hooks must see that reads are attempted again")
}

// checkWatch asserts that each interruption was told once, and then that the watch was
// resumed, at last after ended. (While members end one after the other, it may move between
// them.) The end of the watch is no interruption.
func (w *witness) checkWatch(e *env, ended time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.Positive(w.queued, "hooks must see that events are queued")
	n := len(w.watches)
	e.GreaterOrEqual(n, 3, "the watch is interrupted, resumed and ended: %v", w.watches)
	e.Equal("ended", w.watches[n-1].what)
	e.is(kvdb.ErrWatchStopped, w.watches[n-1].err)
	e.Zero((n-1)%2, "interruptions and resumptions come in pairs: %v", w.watches)
	e.True(w.watches[n-2].at.After(ended), "the watch is resumed at last when a server runs again: %v", w.watches)
	for i := 0; i < n-1; i += 2 {
		interrupted, resumed := w.watches[i], w.watches[i+1]
		e.Equal("interrupted", interrupted.what, "%v", w.watches)
		e.ErrorIs(interrupted.err, kvdb.ErrNoConnection)
		e.Equal("resumed", resumed.what, "%v", w.watches)
		e.InDelta(resumed.at.Sub(interrupted.at), resumed.gap, float64(time.Second), "the time for which the watch was interrupted")
	}
}
