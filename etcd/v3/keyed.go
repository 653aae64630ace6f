package etcdv3

import (
	"context"
	"errors"
	"sync"

	"github.com/portworx/kvdb/driver"
)

// keyed is a mutex for each key.
type keyed struct {
	mu   sync.Mutex               // protects busy
	busy map[string]chan struct{} // key → a channel that leave closes
}

// enter waits until it has the mutex of key.
func (k *keyed) enter(ctx context.Context, key string) error {
	for {
		k.mu.Lock()
		other, busy := k.busy[key]
		if !busy {
			k.busy[key] = make(chan struct{})
			k.mu.Unlock()
			return nil
		}
		k.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return driver.NotReached(ctx, errors.New("another attempt to lock the same key is going on"))
		}
	}
}

func (k *keyed) leave(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.busy[key])
	delete(k.busy, key)
}
