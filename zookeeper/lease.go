package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/retry"
)

// lease implements driver.Lease.
type lease struct {
	s        *store
	token    uint64
	lost     chan struct{}
	endWatch context.CancelFunc

	hold   hold   // protected by leases.mu, as is reason
	reason string // why the lock is lost, or ""

	mu        sync.Mutex // serializes Release and moveToQueue, and protects what is below
	releasing bool       // Release was called
	released  bool
}

// Token implements driver.Lease.
func (x *lease) Token() uint64 { return x.token }

// Lost implements driver.Lease.
func (x *lease) Lost() <-chan struct{} { return x.lost }

// LossReason implements driver.LossReasoner. A lock that only Release has found lost was
// removed.
func (x *lease) LossReason() string {
	x.s.leases.mu.Lock()
	defer x.s.leases.mu.Unlock()
	if x.reason == "" {
		return kvdb.LockRemoved
	}
	return x.reason
}

// current returns how the lock is held, and false when it is not held any more.
func (x *lease) current() (hold, bool) {
	x.s.leases.mu.Lock()
	defer x.s.leases.mu.Unlock()
	_, held := x.s.leases.held[x]
	return x.hold, held
}

// Release implements driver.Lease.
func (x *lease) Release(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.released {
		return nil
	}
	again := x.releasing
	if !again {
		x.s.leases.mu.Lock()
		_, held := x.s.leases.held[x]
		delete(x.s.leases.held, x)
		x.s.leases.mu.Unlock()
		if !held {
			return kvdb.ErrInvalidLock
		}
		x.endWatch()
		x.releasing = true
	}
	h, _ := x.current()
	err := x.s.release(ctx, h, again)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return kvdb.ErrInvalidLock
	case err == nil:
		x.released = true
	case !again:
		x.s.leases.discard(h)
	}
	return err
}

// watch loses a lease when somebody removes the lock, and moves the lock to the queue
// when somebody asks for that.
func (x *lease) watch(ctx context.Context) {
	again := retry.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	for ctx.Err() == nil {
		h, held := x.current()
		if !held {
			return
		}
		err := x.awaitChange(ctx, h)
		switch {
		case err == nil:
			x.mu.Lock() // waits for a move that is under way
			now, _ := x.current()
			x.mu.Unlock()
			if now.znode() == h.znode() && !now.moving {
				x.s.leases.removed(x)
				return
			}
			if !now.moving {
				continue
			}
		case errors.Is(err, zk.ErrNoAuth): // The ACL was changed, so the znode cannot be watched.
			return
		case !errors.Is(err, errChanged):
			continue
		}
		if err := x.moveToQueue(ctx); errors.Is(err, zk.ErrNoNode) {
			x.s.leases.removed(x)
		} else if err != nil && again.Wait(ctx) != nil {
			return
		}
	}
}

// awaitChange waits until the lock's znode is removed. It returns errChanged when the
// znode is written.
func (x *lease) awaitChange(ctx context.Context, h hold) error {
	w, err := x.s.hub.subscribe(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	return w.awaitDeletion(ctx, h.znode(), time.Time{}, func(data []byte, _ *zk.Stat) bool {
		return h.queueEntry == "" && !bytes.Equal(data, h.value)
	})
}
