package etcdv2

import (
	"context"
	"sync"

	"github.com/portworx/kvdb/driver"
)

// queue is an unbounded queue between two goroutines, whose last element is an error.
type queue[T any] struct {
	added    chan struct{}         // has an element after items or err has changed
	observer *driver.WatchObserver // is told the number of items, unless it is nil

	mu    sync.Mutex // protects what is below
	items []T
	err   error
}

func newQueue[T any](o *driver.WatchObserver) *queue[T] {
	return &queue[T]{added: make(chan struct{}, 1), observer: o}
}

func (q *queue[T]) add(items ...T) {
	q.mu.Lock()
	q.items = append(q.items, items...)
	q.observer.Queued(len(q.items))
	q.mu.Unlock()
	q.wake()
}

// end adds the error, which is the last element.
func (q *queue[T]) end(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	q.wake()
}

func (q *queue[T]) wake() {
	select {
	case q.added <- struct{}{}:
	default:
	}
}

// take waits for elements or the error, and returns all that were added.
func (q *queue[T]) take(ctx context.Context) ([]T, error) {
	for {
		q.mu.Lock()
		items, err := q.items, q.err
		q.items = nil
		q.observer.Queued(0)
		q.mu.Unlock()
		if len(items) > 0 || err != nil {
			return items, err
		}
		select {
		case <-q.added:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
