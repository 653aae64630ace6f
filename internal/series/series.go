// Package series has what hooks share that count and measure for a monitoring system.
package series

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/portworx/kvdb"
)

// Table has a value, such as a metric, for each combination of labels. A lookup takes no
// lock and allocates nothing. It is for keys of which there are few.
type Table[K comparable, V any] struct {
	newValue func(K) V
	mu       sync.Mutex // makes additions exclude each other
	values   atomic.Pointer[map[K]V]
}

// NewTable returns a table that calls newValue once for each key.
func NewTable[K comparable, V any](newValue func(K) V) *Table[K, V] {
	t := &Table[K, V]{newValue: newValue}
	t.values.Store(&map[K]V{})
	return t
}

// Of returns the value of k.
func (t *Table[K, V]) Of(k K) V {
	if value, ok := (*t.values.Load())[k]; ok {
		return value
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.values.Load()
	if value, ok := old[k]; ok {
		return value
	}
	values := maps.Clone(old)
	values[k] = t.newValue(k)
	t.values.Store(&values)
	return values[k]
}

// Queue counts the events of all watches that wait for callbacks. The zero value is empty.
// Its methods return by how much the number has changed.
type Queue struct {
	mu      sync.Mutex
	waiting map[uint64]int // by the ID of the watch, without those that have none
}

// Set records that n events of a watch wait.
func (q *Queue) Set(w kvdb.Watch, n int) (change int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.put(w.ID, n)
}

// Delivered records that one of them waits no longer.
func (q *Queue) Delivered(w kvdb.Watch) (change int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := q.waiting[w.ID]; n > 0 {
		return q.put(w.ID, n-1)
	}
	return 0
}

// put sets the number of a watch. The caller holds mu.
func (q *Queue) put(id uint64, n int) (change int) {
	change = n - q.waiting[id]
	switch {
	case n == 0:
		delete(q.waiting, id)
	case q.waiting == nil:
		q.waiting = map[uint64]int{id: n}
	default:
		q.waiting[id] = n
	}
	return change
}

// ReasonUnknown is the reason of an interruption whose cause is not known.
const ReasonUnknown = "unknown"

// Interruptions are the reasons that Interruption returns, and Losses those of Loss.
var (
	Interruptions = []string{string(kvdb.OutcomeNoConnection), string(kvdb.OutcomeDenied), string(kvdb.OutcomeError), ReasonUnknown}
	Losses        = []string{kvdb.LockExpired, kvdb.LockRemoved, kvdb.LockClosed, kvdb.LockLostUnknown}
)

// Interruption returns the class of the cause of a watch's interruption.
func Interruption(cause error) string {
	if cause == nil {
		return ReasonUnknown
	}
	switch o := kvdb.OutcomeOf(cause); o {
	case kvdb.OutcomeNoConnection, kvdb.OutcomeDenied:
		return string(o)
	}
	return string(kvdb.OutcomeError)
}

// Loss returns the reason for the loss of a lock, which is one of Losses also if the backend
// gave another one.
func Loss(reason string) string {
	switch reason {
	case kvdb.LockExpired, kvdb.LockRemoved, kvdb.LockClosed:
		return reason
	}
	return kvdb.LockLostUnknown
}
