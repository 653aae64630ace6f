package etcdv2

import (
	"context"
	"sync"
)

// queue takes elements from one goroutine to another, however slow that one is, and
// at last an error.
type queue[T any] struct {
	news chan struct{} // has an element when something was added below

	mu    sync.Mutex // protects what is below
	items []T
	err   error
}

func newQueue[T any]() *queue[T] { return &queue[T]{news: make(chan struct{}, 1)} }

func (q *queue[T]) add(items ...T) {
	q.mu.Lock()
	q.items = append(q.items, items...)
	q.mu.Unlock()
	q.wake()
}

// end adds the error that is the last element.
func (q *queue[T]) end(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	q.wake()
}

func (q *queue[T]) wake() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// take waits for elements or the error, and returns all there are.
func (q *queue[T]) take(ctx context.Context) ([]T, error) {
	for {
		q.mu.Lock()
		items, err := q.items, q.err
		q.items = nil
		q.mu.Unlock()
		if len(items) > 0 || err != nil {
			return items, err
		}
		select {
		case <-q.news:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
