package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portworx/kvdb/driver"
)

// turns queues those of this instance who wait for the same lock, in the order
// they came: one at a time waits in the store. That makes waiting fair, and a
// release wakes one waiter and not all.
type turns struct {
	mu sync.Mutex // protects waiting
	// waiting has an entry for each key somebody has the turn of: those who wait
	// behind, whose channel is closed when it is their turn.
	waiting map[string][]chan struct{}
}

// enter waits for the turn of key, and returns false when wait is over first.
// A caller that got the turn must call leave.
func (t *turns) enter(ctx context.Context, key string, wait time.Duration) (bool, error) {
	t.mu.Lock()
	queue, taken := t.waiting[key]
	if !taken {
		t.waiting[key] = nil
		t.mu.Unlock()
		return true, nil
	}
	turn := make(chan struct{})
	t.waiting[key] = append(queue, turn)
	t.mu.Unlock()

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
	t.mu.Lock()
	queue = t.waiting[key]
	i := slices.Index(queue, turn)
	if i >= 0 {
		t.waiting[key] = slices.Delete(queue, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 { // it became our turn meanwhile
		t.leave(key)
	}
	return false, err
}

// leave passes the turn of key on.
func (t *turns) leave(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	queue := t.waiting[key]
	if len(queue) == 0 {
		delete(t.waiting, key)
		return
	}
	close(queue[0])
	t.waiting[key] = queue[1:]
}
