package zookeeper

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/portworx/kvdb/driver"
)

// waiter waits for the deletion of a znode.
type waiter struct {
	h       *hub
	wake    chan struct{} // has an element after an event
	deleted atomic.Bool   // the event was the deletion
}

// subscribe returns a waiter, which the caller must close.
func (h *hub) subscribe(ctx context.Context) (*waiter, error) {
	if ctx.Err() != nil {
		return nil, driver.WithCause(ctx, nil)
	}
	w := &waiter{h: h, wake: make(chan struct{}, 1)}
	h.add(w)
	return w, nil
}

func (w *waiter) close() { w.h.remove(w) }

// fired implements watcher.
func (w *waiter) fired(_ string, event zk.EventType) {
	if event == zk.EventNodeDeleted {
		w.deleted.Store(true)
	}
	w.broken(nil)
}

// failed implements watcher.
func (w *waiter) failed(error) {}

// broken implements watcher.
func (w *waiter) broken(error) {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

var (
	// errChanged means that the znode has changed as the caller wanted.
	errChanged = errors.New("the znode has changed")
	// errTooLate means that the deadline of a wait has passed.
	errTooLate = errors.New("too late")
)

// awaitDeletion returns nil when there is no znode at path, or was none at some time since the call.
// It returns errChanged when changed, which may be nil, returns true for the znode. It returns
// errTooLate at deadline, unless that is zero.
func (w *waiter) awaitDeletion(ctx context.Context, path string, deadline time.Time, changed func(data []byte, stat *zk.Stat) bool) error {
	w.deleted.Store(false) // no event comes before it subscribes
	w.h.subscribePath(w, path)
	defer w.h.unsubscribe(w, path)
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline, errTooLate)
		defer cancel()
	}
	for {
		x, err := w.h.awaitSession(ctx)
		if err != nil {
			return err
		}
		err = x.Run(ctx, func(*zk.Conn) error {
			// The znode may be newer than what this session has seen.
			f := x.StartSync()
			if err := f.Sent(ctx); err != nil {
				return err
			}
			data, stat, err := w.h.get(x, path)
			if syncErr := f.Wait(ctx); syncErr != nil {
				return syncErr
			}
			if err == nil && changed != nil && changed(data, stat) {
				return errChanged
			}
			return err
		})
		switch {
		case errors.Is(err, errChanged):
			return err
		case errors.Is(err, zk.ErrNoNode):
			return nil
		case errors.Is(err, zk.ErrNoAuth): // the server would not report its deletion either
			return err
		}
		select {
		case <-w.wake:
			if w.deleted.Load() {
				return nil
			}
		case <-x.ctx.Done():
		case <-ctx.Done():
			return driver.WithCause(ctx, nil)
		}
	}
}
