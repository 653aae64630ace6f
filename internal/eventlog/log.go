// Package eventlog is the event history and the watches of a store that lives
// in this process. All watches share one history; a write costs the same
// whatever the number of watches on other keys.
package eventlog

import (
	"context"
	"sync"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
	"github.com/portworx/kvdb/internal/tree"
)

const (
	// DefaultHistory is the number of past events that a new watch can ask for.
	DefaultHistory = 16384
	// MaxLag is the number of events by which a watch's callback may be behind:
	// beyond it the watch ends with kvdb.ErrWatchRevisionCompacted.
	MaxLag = 1 << 20
)

// Event is one change of one key.
type Event struct {
	Key    string
	Action kvdb.KVAction
	Record *tree.Record // what is there now, or what was there before a delete
	Index  uint64
}

// chunkSize is the number of events that are allocated together.
const chunkSize = 64

type chunk struct {
	events [chunkSize]Event
	used   int
	next   *chunk
}

// Log is a history of events and those who watch it. Create it with New. It has
// no goroutine while nothing is to be delivered, and needs no Close.
type Log struct {
	limit int

	mu         sync.Mutex // protects what is below
	head, tail *chunk     // the history, oldest first
	retained   int        // events in the history
	floor      uint64     // the history has every event with a larger index
	last       uint64     // index of the last event, or floor
	pending    []*Event   // to be dispatched: events that somebody watches
	dispatcher bool       // a goroutine is dispatching

	watches registry
}

// New returns a log that keeps the last limit events, at least. Events up to
// the index floor are unknown to it.
func New(limit int, floor uint64) *Log {
	c := &chunk{}
	return &Log{limit: limit, head: c, tail: c, floor: floor, last: floor, watches: newRegistry()}
}

// Append adds an event, whose index must be larger than that of the one before.
func (l *Log) Append(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tail.used == chunkSize {
		l.tail.next = &chunk{}
		l.tail = l.tail.next
	}
	event := &l.tail.events[l.tail.used]
	*event = e
	l.tail.used++
	l.retained++
	l.last = e.Index
	for l.retained-l.head.used >= l.limit && l.head != l.tail {
		l.dropHead()
	}
	if !l.watches.watched(e.Key) {
		return
	}
	l.pending = append(l.pending, event)
	if !l.dispatcher {
		l.dispatcher = true
		go l.dispatch()
	}
}

// dropHead forgets the oldest chunk, which must not be the last one.
func (l *Log) dropHead() {
	l.floor = max(l.floor, l.head.events[chunkSize-1].Index)
	l.retained -= l.head.used
	l.head = l.head.next
}

// dispatch hands what is pending to the watches, in order, and ends when
// nothing is left.
func (l *Log) dispatch() {
	var batch []*Event
	for {
		l.mu.Lock()
		if len(l.pending) == 0 {
			l.dispatcher = false
			l.mu.Unlock()
			return
		}
		clear(batch)
		batch, l.pending = l.pending, batch[:0]
		l.mu.Unlock()
		for _, event := range batch {
			l.watches.deliver(event)
		}
	}
}

// Compact forgets the events before index.
func (l *Log) Compact(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index == 0 {
		return
	}
	l.floor = max(l.floor, min(index-1, l.last))
	for l.head != l.tail && l.head.events[chunkSize-1].Index <= l.floor {
		l.dropHead()
	}
}

// Watch registers a watch; see driver.Store.
func (l *Log) Watch(ctx context.Context, r driver.WatchRequest) (driver.Stream, error) {
	w := &watch{log: l, ctx: ctx, request: r, arrived: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.After > 0 && r.After < l.floor {
		w.err = kvdb.ErrWatchRevisionCompacted
		return w, nil
	}
	for c := l.head; c != nil; c = c.next {
		for i := range c.events[:c.used] {
			e := &c.events[i]
			if e.Index > max(r.After, l.floor) && w.wants(e.Key) {
				w.queue = append(w.queue, e)
			}
		}
	}
	w.after = max(r.After, l.last)
	l.watches.add(w)
	return w, nil
}
