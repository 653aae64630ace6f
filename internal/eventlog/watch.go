package eventlog

import (
	"context"
	"sync"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// maxBatch is the number of events that are dispatched, or copied by Next, at a time.
const maxBatch = 1024

// watch implements driver.Stream.
type watch struct {
	log     *Log
	ctx     context.Context
	request driver.WatchRequest
	slot    int           // the index in its group; protected by the registry's mutexes
	arrived chan struct{} // has an element after queue or err changed

	mu      sync.Mutex // protects the fields below
	after   uint64     // push leaves out the events up to this index
	queue   [][]Event  // shared with other watches
	waiting int        // the number of events in queue
	limit   int        // the maximum of waiting
	err     error      // ends the stream when the queue is empty
}

// push adds events to the queue. The caller does not change them afterwards.
func (w *watch) push(events []Event) {
	w.mu.Lock()
	for len(events) > 0 && events[0].Index <= w.after {
		events = events[1:]
	}
	if len(events) == 0 || w.err != nil {
		w.mu.Unlock()
		return
	}
	w.queue = append(w.queue, events)
	if w.waiting += len(events); w.waiting > w.limit {
		w.queue, w.waiting, w.err = nil, 0, kvdb.ErrWatchRevisionCompacted
	}
	w.request.Observer.Queued(w.waiting)
	w.mu.Unlock()
	select {
	case w.arrived <- struct{}{}:
	default:
	}
}

// Next implements driver.Stream.
func (w *watch) Next() ([]*kvdb.KVPair, error) {
	for {
		if w.ctx.Err() != nil {
			return nil, context.Cause(w.ctx)
		}
		batches, n, err := w.take()
		if n > 0 {
			return pairs(batches, n), nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-w.arrived:
		case <-w.ctx.Done():
		}
	}
}

// take removes at most maxBatch events from the queue, and returns their number n. If there
// are none, it returns the error that ended the stream, or nil.
func (w *watch) take() (batches [][]Event, n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := 0
	for i < len(w.queue) && n+len(w.queue[i]) <= maxBatch {
		n += len(w.queue[i])
		i++
	}
	batches, w.queue = w.queue[:i], w.queue[i:]
	if len(w.queue) == 0 {
		w.queue = nil // free the memory after many events at once
	}
	w.waiting -= n
	w.request.Observer.Queued(w.waiting)
	return batches, n, w.err
}

// pairs returns the events as pairs that the receiver may change. It clears batches, so that
// the events can be collected.
func pairs(batches [][]Event, n int) []*kvdb.KVPair {
	size := 0
	for _, events := range batches {
		for i := range events {
			size += len(events[i].Record.Value)
		}
	}
	values := make([]byte, 0, size)
	copies := make([]kvdb.KVPair, n)
	pairs := make([]*kvdb.KVPair, 0, n)
	for _, events := range batches {
		for i := range events {
			e := &events[i]
			start := len(values)
			values = append(values, e.Record.Value...)
			pair := &copies[len(pairs)]
			*pair = kvdb.KVPair{
				Key: e.Key, Value: values[start:len(values):len(values)], Action: e.Action,
				KVDBIndex: e.Index, CreatedIndex: e.Record.Created, ModifiedIndex: e.Index,
			}
			pairs = append(pairs, pair)
		}
	}
	clear(batches)
	return pairs
}

// Close implements driver.Stream.
func (w *watch) Close() { w.log.forget(w) }
