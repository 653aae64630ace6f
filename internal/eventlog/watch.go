package eventlog

import (
	"context"
	"sync"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// maxBatch bounds the events that are dispatched, and copied by Next, at a time.
const maxBatch = 1024

// watch is a driver.Stream.
type watch struct {
	log     *Log
	ctx     context.Context
	request driver.WatchRequest
	slot    int           // in its group; protected by the registry
	arrived chan struct{} // has an element after queue or err changed

	mu      sync.Mutex // protects the fields below
	after   uint64     // push leaves out the events up to this index
	queue   [][]Event  // each shared with other watches
	waiting int        // events in queue
	limit   int        // of waiting
	err     error      // ends the stream when the queue is empty
}

// push adds events, which are not changed any more, to the queue.
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

// take removes n events from the queue, at most maxBatch, or tells what ended
// the stream.
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
		w.queue = nil // what a burst needed is not kept
	}
	w.waiting -= n
	return batches, n, w.err
}

// pairs returns the events as pairs that are the receiver's own, and lets go of
// the events.
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
