package kvdbprom

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// queue counts the events of all watches that wait for callbacks.
type queue struct {
	mu      sync.Mutex
	waiting map[uint64]int // by the ID of the watch, without those that have none
	total   prometheus.Gauge
}

// set records that n events of a watch wait.
func (q *queue) set(watch uint64, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put(watch, n)
}

// delivered records that one of them waits no longer.
func (q *queue) delivered(watch uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := q.waiting[watch]; n > 0 {
		q.put(watch, n-1)
	}
}

// put sets the number of a watch. The caller holds mu.
func (q *queue) put(watch uint64, n int) {
	q.total.Add(float64(n - q.waiting[watch]))
	if n == 0 {
		delete(q.waiting, watch)
	} else {
		q.waiting[watch] = n
	}
}
