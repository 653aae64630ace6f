// Package eventlog implements the event history and the watches of a store in this process.
// All watches share one history. The cost of a write does not depend on the number of
// watches of other keys.
package eventlog

import (
	"context"
	"math"
	"strings"
	"sync"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
	"github.com/portworx/kvdb/internal/tree"
)

const (
	// DefaultHistory is the number of past events that a new watch can ask for.
	DefaultHistory = 16384
	// MaxLag is the number of events that may wait for the callback of a watch. If more
	// wait, the watch ends with kvdb.ErrWatchRevisionCompacted.
	MaxLag = 1 << 20
)

const (
	// chunkSize is the number of events that the history allocates together.
	chunkSize = 64
	// maxPending bounds the events that wait to be dispatched. A writer waits if the
	// dispatcher is that far behind. It never waits for callbacks.
	maxPending = 1 << 16
)

// Event is one change of one key.
type Event struct {
	Key    string
	Action kvdb.KVAction
	Record *tree.Record // the new record, or the deleted one
	Index  uint64
}

// chunk is a piece of the history. Only the log refers to chunks, so a slow watch keeps its
// own events alive, and not the later history.
type chunk struct {
	events [chunkSize]Event
	used   int
	next   *chunk
}

func (c *chunk) last() uint64 { return c.events[c.used-1].Index }

// matching returns the events in the chunk that match the request of a watch.
func (c *chunk) matching(r driver.WatchRequest) []Event {
	var events []Event
	for _, e := range c.events[:c.used] {
		if e.Key == r.Key || r.Prefix && strings.HasPrefix(e.Key, r.Key) {
			events = append(events, e)
		}
	}
	return events
}

// Log is a history of events and its watches. New makes one. It has no goroutine while there
// is nothing to deliver, and needs no Close.
type Log struct {
	limit   int // of the history, in events
	maxLag  int // MaxLag
	watches registry

	mu          sync.Mutex // protects the fields below; see also registry
	head, tail  *chunk     // the history, oldest first
	retained    int        // the number of events in the history
	floor       uint64     // the history has every event with a larger index
	last        uint64     // the index of the last event, or floor
	pending     []Event    // the events to dispatch, all of watched keys
	dispatching bool       // a goroutine dispatches
	room        sync.Cond  // signals that the dispatcher has taken pending
}

// New returns a log that keeps at least the last limit events, and at least one. It does not
// have the events up to the index floor.
func New(limit int, floor uint64) *Log {
	c := &chunk{}
	l := &Log{limit: max(limit, 1), maxLag: MaxLag, head: c, tail: c, floor: floor, last: floor, watches: newRegistry()}
	l.room.L = &l.mu
	return l
}

// Append adds an event, whose index must be larger than that of the previous one.
func (l *Log) Append(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(e)
	if !l.watches.watched(e.Key) {
		return
	}
	for len(l.pending) >= maxPending {
		l.room.Wait()
	}
	l.pending = append(l.pending, e)
	if !l.dispatching {
		l.dispatching = true
		go l.dispatch()
	}
}

// remember adds e to the history.
func (l *Log) remember(e Event) {
	if l.tail.used == chunkSize {
		l.tail.next = &chunk{}
		l.tail = l.tail.next
	}
	l.tail.events[l.tail.used] = e
	l.tail.used++
	l.retained++
	l.last = e.Index
	for l.retained-l.head.used >= l.limit {
		l.forgetHead()
	}
}

// forgetHead removes the oldest chunk, which must not be empty.
func (l *Log) forgetHead() {
	l.floor = max(l.floor, l.head.last())
	l.retained -= l.head.used
	if l.head = l.head.next; l.head == nil {
		l.head = &chunk{}
		l.tail = l.head
	}
}

// dispatch hands the pending events to the watches, in order, and ends when there are none.
func (l *Log) dispatch() {
	var batch []Event
	for {
		clear(batch)
		l.mu.Lock()
		if len(l.pending) == 0 {
			l.pending = nil
			l.dispatching = false
			l.mu.Unlock()
			return
		}
		batch, l.pending = l.pending, batch[:0]
		l.room.Broadcast()
		l.mu.Unlock()
		l.watches.deliver(batch)
	}
}

// Compact removes the events before index.
func (l *Log) Compact(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index == 0 {
		return
	}
	l.floor = max(l.floor, min(index-1, l.last))
	for l.head.used > 0 && l.head.last() <= l.floor {
		l.forgetHead()
	}
}

// Watch registers a watch; see driver.Store.
func (l *Log) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	w := &watch{log: l, ctx: ctx, request: r, arrived: make(chan struct{}, 1), limit: math.MaxInt}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.After > 0 && r.After < l.floor {
		w.err = kvdb.ErrWatchRevisionCompacted
		return w, nil
	}
	w.after = max(r.After, l.floor)
	for c := l.head; c != nil; c = c.next {
		if c.used > 0 && c.last() > w.after {
			w.push(c.matching(r))
		}
	}
	w.limit = l.maxLag + w.waiting
	w.after = max(r.After, l.last)
	l.watches.add(w)
	return w, nil
}

// forget ends the deliveries to w.
func (l *Log) forget(w *watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watches.remove(w)
}
