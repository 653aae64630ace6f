package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portworx/kvdb/driver"
)

// lockQueue queues the callers of this instance that want the same lock, in the
// order in which they came. Only the first of them waits in the store. That makes
// waiting fair, and a release wakes one waiter instead of all.
type lockQueue struct {
	mu sync.Mutex // protects waiting
	// waiting has an entry for each key that a caller has entered for: the channels of
	// the callers behind it. A channel is closed when it is that caller's turn.
	waiting map[string][]chan struct{}
}

// enter waits until it is the caller's turn, and reports whether that was within wait.
// If so, the caller must call leave.
func (q *lockQueue) enter(ctx context.Context, key string, wait time.Duration) (bool, error) {
	q.mu.Lock()
	behind, taken := q.waiting[key]
	if !taken {
		q.waiting[key] = nil
		q.mu.Unlock()
		return true, nil
	}
	turn := make(chan struct{})
	q.waiting[key] = append(behind, turn)
	q.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	var err error
	select {
	case <-turn:
		return true, nil
	case <-timer.C:
	case <-ctx.Done():
		err = driver.WithCause(ctx, nil)
	}
	q.mu.Lock()
	behind = q.waiting[key]
	i := slices.Index(behind, turn)
	if i >= 0 {
		q.waiting[key] = slices.Delete(behind, i, i+1)
	}
	q.mu.Unlock()
	if i < 0 { // the turn came meanwhile
		q.leave(key)
	}
	return false, err
}

// leave lets the next caller enter.
func (q *lockQueue) leave(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	behind := q.waiting[key]
	if len(behind) == 0 {
		delete(q.waiting, key)
		return
	}
	close(behind[0])
	q.waiting[key] = behind[1:]
}
