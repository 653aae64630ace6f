package common

import (
	"sync"

	"github.com/portworx/kvdb"
)

// WatchUpdateQueue is an unbounded queue of watch updates between a watch and
// the goroutine that calls its callback. It is safe for concurrent use.
type WatchUpdateQueue interface {
	// Enqueue adds an update. It never blocks.
	Enqueue(key string, kvp *kvdb.KVPair, err error)
	// Dequeue waits until there is an update, and removes and returns the oldest one.
	Dequeue() (string, *kvdb.KVPair, error)
}

type watchUpdate struct {
	key string
	kvp *kvdb.KVPair
	err error
}

type watchUpdateQueue struct {
	mu      sync.Mutex // protects updates
	added   *sync.Cond // signals that updates has grown
	updates []watchUpdate
}

// NewWatchUpdateQueue returns an empty queue.
func NewWatchUpdateQueue() WatchUpdateQueue {
	q := &watchUpdateQueue{}
	q.added = sync.NewCond(&q.mu)
	return q
}

func (q *watchUpdateQueue) Enqueue(key string, kvp *kvdb.KVPair, err error) {
	q.mu.Lock()
	q.updates = append(q.updates, watchUpdate{key, kvp, err})
	q.mu.Unlock()
	q.added.Signal()
}

func (q *watchUpdateQueue) Dequeue() (string, *kvdb.KVPair, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.updates) == 0 {
		q.added.Wait()
	}
	u := q.updates[0]
	q.updates[0] = watchUpdate{} // so that the pair can be collected
	q.updates = q.updates[1:]
	return u.key, u.kvp, u.err
}
