package eventlog

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/driver"
)

// maxBatch bounds the copies that one Next makes.
const maxBatch = 256

// watch is a driver.Stream.
type watch struct {
	log     *Log
	ctx     context.Context
	request driver.WatchRequest
	after   uint64        // the dispatcher delivers events with a larger index
	slot    int           // in its group, protected by the registry
	arrived chan struct{} // has an element after queue or err changed

	mu    sync.Mutex // protects what is below
	queue []*Event
	err   error // ends the stream when the queue is empty
}

func (w *watch) wants(key string) bool {
	if w.request.Prefix {
		return strings.HasPrefix(key, w.request.Key)
	}
	return key == w.request.Key
}

// push adds an event to the queue.
func (w *watch) push(e *Event) {
	if e.Index <= w.after {
		return
	}
	w.mu.Lock()
	if len(w.queue) >= MaxLag {
		w.queue, w.err = nil, kvdb.ErrWatchRevisionCompacted
	} else if w.err == nil {
		w.queue = append(w.queue, e)
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
		w.mu.Lock()
		n := min(len(w.queue), maxBatch)
		batch, err := w.queue[:n:n], w.err
		w.queue = w.queue[n:]
		w.mu.Unlock()
		if n > 0 {
			return pairs(batch), nil
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

// pairs returns the events as pairs that are the receiver's own.
func pairs(events []*Event) []*kvdb.KVPair {
	copies := make([]kvdb.KVPair, len(events))
	pairs := make([]*kvdb.KVPair, len(events))
	for i, e := range events {
		copies[i] = kvdb.KVPair{
			Key: e.Key, Value: bytes.Clone(e.Record.Value), Action: e.Action,
			KVDBIndex: e.Index, CreatedIndex: e.Record.Created, ModifiedIndex: e.Index,
		}
		pairs[i] = &copies[i]
	}
	return pairs
}

// Close implements driver.Stream.
func (w *watch) Close() { w.log.watches.remove(w) }

// registry finds the watches of a key.
type registry struct {
	mu       *sync.RWMutex // protects what is below, and the watches' slots
	keys     map[string][]*watch
	prefixes map[string][]*watch
	// lengths are those of the keys of prefixes, sorted.
	lengths []int
}

func newRegistry() registry {
	return registry{mu: &sync.RWMutex{}, keys: map[string][]*watch{}, prefixes: map[string][]*watch{}}
}

func (r *registry) group(w *watch) map[string][]*watch {
	if w.request.Prefix {
		return r.prefixes
	}
	return r.keys
}

func (r *registry) add(w *watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	group, key := r.group(w), w.request.Key
	w.slot = len(group[key])
	group[key] = append(group[key], w)
	if i, known := slices.BinarySearch(r.lengths, len(key)); w.request.Prefix && !known {
		r.lengths = slices.Insert(r.lengths, i, len(key))
	}
}

func (r *registry) remove(w *watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	group, key := r.group(w), w.request.Key
	same := group[key]
	if w.slot >= len(same) || same[w.slot] != w {
		return // was never added
	}
	last := len(same) - 1
	same[w.slot] = same[last]
	same[w.slot].slot = w.slot
	same[last] = nil
	if group[key] = same[:last]; last > 0 {
		return
	}
	delete(group, key)
	if w.request.Prefix && !r.anyPrefix(len(key)) {
		i, _ := slices.BinarySearch(r.lengths, len(key))
		r.lengths = slices.Delete(r.lengths, i, i+1)
	}
}

// anyPrefix tells whether a prefix of that length is watched.
func (r *registry) anyPrefix(length int) bool {
	for prefix := range r.prefixes {
		if len(prefix) == length {
			return true
		}
	}
	return false
}

// watched tells whether anybody watches key.
func (r *registry) watched(key string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.keys[key]) > 0 {
		return true
	}
	for _, n := range r.lengths {
		if n > len(key) {
			break
		}
		if len(r.prefixes[key[:n]]) > 0 {
			return true
		}
	}
	return false
}

// deliver hands an event to all who watch its key.
func (r *registry) deliver(e *Event) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, w := range r.keys[e.Key] {
		w.push(e)
	}
	for _, n := range r.lengths {
		if n > len(e.Key) {
			break
		}
		for _, w := range r.prefixes[e.Key[:n]] {
			w.push(e)
		}
	}
}
