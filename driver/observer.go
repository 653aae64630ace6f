package driver

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb"
)

// WatchObserver tells the hooks of an instance about one watch. A store calls Interrupted,
// Resumed and Queued, also before Watch has returned. What a store does not call is not
// observed. These three do nothing on a nil WatchObserver, and are safe for concurrent use.
//
// The engine makes a WatchObserver for each watch, and calls the other methods.
type WatchObserver struct {
	hooks *Hooks
	watch kvdb.Watch

	mu sync.Mutex // protects the fields below, and keeps the calls of hooks in order
	// began are the hooks when the watch started, nil before. Only they are told about it,
	// so that each has seen the start of a watch whose end it sees. Taken and Delivered read
	// it without mu, because the engine calls them after Start.
	began []kvdb.HookWatch
	ended bool
	since time.Time // when the watch was interrupted, or zero
	cause error     // of the interruption

	reports  bool      // Queued was called
	inStore  int       // events that wait in the store
	inEngine int       // events that the engine has taken and not delivered
	oldest   time.Time // since when the first event in the store has waited
	taken    time.Time // since when the first event that Next takes has waited, or zero
}

// lastWatch is the ID of the last watch.
var lastWatch atomic.Uint64

// NewWatchObserver returns the observer of a watch of an instance with these hooks. It sets
// the ID of the watch.
func NewWatchObserver(hooks *Hooks, w kvdb.Watch) *WatchObserver {
	w.ID = lastWatch.Add(1)
	return &WatchObserver{hooks: hooks, watch: w}
}

// Watch returns the watch.
func (o *WatchObserver) Watch() kvdb.Watch { return o.watch }

// Interrupted records that the store no longer gets the events of the watch. err is the
// cause. It is ignored until Resumed if it was called before.
func (o *WatchObserver) Interrupted(err error) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() || o.ended {
		return
	}
	o.since, o.cause = time.Now(), err
	o.tell(func(h kvdb.HookWatch) { h.OnWatchInterrupted(o.watch, err) })
}

// Resumed records that the store gets the events of the watch again, and has missed none. It
// is ignored unless Interrupted was called, so a store may call it after each success.
func (o *WatchObserver) Resumed() {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() || o.ended {
		return
	}
	gap := time.Since(o.since)
	o.since = time.Time{}
	o.tell(func(h kvdb.HookWatch) { h.OnWatchResumed(o.watch, gap) })
}

// Queued records that n events wait in the store until Next takes them. A store with a queue
// calls it when events arrive, and in Next when it has taken some, both times with the
// queue's mutex held, so that the numbers come in order. Without hooks it costs about a
// nanosecond.
func (o *WatchObserver) Queued(n int) {
	if o == nil {
		return
	}
	if kinds := o.hooks.Kinds(); len(kinds.Watch) == 0 && len(kinds.Delivery) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.inStore
	o.reports, o.inStore = true, n
	switch {
	case n < before:
		o.taken, o.oldest = o.oldest, time.Now()
	case n > before:
		if before == 0 {
			o.oldest = time.Now()
		}
		o.tellQueue()
	}
}

// Start records that the watch is registered.
func (o *WatchObserver) Start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.began = o.hooks.Kinds().Watch
	o.tell(func(h kvdb.HookWatch) { h.OnWatchStart(o.watch) })
	if !o.since.IsZero() {
		o.tell(func(h kvdb.HookWatch) { h.OnWatchInterrupted(o.watch, o.cause) })
	}
}

// Taken records that Next has returned n events, and returns since when the first of them
// has waited. Without hooks it returns the zero time.
func (o *WatchObserver) Taken(n int) time.Time {
	if len(o.began) == 0 && len(o.hooks.Kinds().Delivery) == 0 {
		return time.Time{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	since := o.taken
	o.taken, o.inEngine = time.Time{}, n
	if !o.reports && n > 0 {
		o.tellQueue()
	}
	if since.IsZero() {
		return time.Now()
	}
	return since
}

// Delivered records that the callback has returned from n of these events.
func (o *WatchObserver) Delivered(n int) {
	if len(o.began) == 0 || n == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inEngine -= n
	if o.inEngine == 0 && o.inStore == 0 {
		o.tellQueue()
	}
}

// End records that the watch is over; see kvdb.HookWatch.
func (o *WatchObserver) End(err, cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.tell(func(h kvdb.HookWatch) { h.OnWatchEnd(o.watch, err, cause) })
}

// tellQueue tells how many events wait. The caller holds mu.
func (o *WatchObserver) tellQueue() {
	if !o.ended {
		o.tell(func(h kvdb.HookWatch) { h.OnWatchQueue(o.watch, o.inStore+o.inEngine) })
	}
}

// tell calls f with each hook that has seen the start and was not removed. The caller holds
// mu.
func (o *WatchObserver) tell(f func(kvdb.HookWatch)) {
	if len(o.began) == 0 {
		return
	}
	for _, h := range Remaining(o.began, o.hooks.Kinds().Watch) {
		f(h)
	}
}
