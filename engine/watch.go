package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// WatchKey watches one key.
func (kv *view) WatchKey(key string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error {
	full, err := kv.key(key)
	if err != nil {
		return err
	}
	return kv.watch(driver.WatchRequest{Key: full, After: waitIndex}, key, opaque, watchCB)
}

// WatchTree watches every key with the string prefix prefix.
func (kv *view) WatchTree(prefix string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error {
	full, err := kv.stringPrefix(prefix)
	if err != nil {
		return err
	}
	return kv.watch(driver.WatchRequest{Key: full, Prefix: true, After: waitIndex}, prefix, opaque, watchCB)
}

func (kv *view) watch(r driver.WatchRequest, name string, opaque interface{}, cb kvdb.WatchCB) error {
	if cb == nil {
		return fmt.Errorf("%w: no watch callback given", kvdb.ErrIllegal)
	}
	ctx, cancel, err := kv.beginUnbounded()
	if err != nil {
		return err
	}
	stream, err := kv.store.Watch(ctx, r)
	if err != nil {
		cancel()
		return err
	}
	w := &watcher{kv.instance, ctx, cancel, stream, kv.domain + name, opaque, cb}
	run := func() {
		final := w.deliver()
		// The watch is over, so the result of this call is ignored.
		_ = cb(w.watched, opaque, nil, final)
	}
	if !kv.launch(run) {
		stream.Close()
		cancel()
		return kvdb.ErrClosed
	}
	return nil
}

// watcher hands a stream's events to a callback.
type watcher struct {
	*instance
	ctx     context.Context
	cancel  context.CancelFunc
	stream  driver.Stream
	watched string // the domain and the watched key or prefix
	opaque  interface{}
	cb      kvdb.WatchCB
}

// deliver calls the callback with each event, and returns the error that ended the watch.
// It releases the watch even if the callback ends the goroutine, as t.FailNow does.
func (w *watcher) deliver() error {
	defer w.cancel()
	defer w.stream.Close()
	for {
		events, err := w.stream.Next()
		for _, event := range events {
			if w.ctx.Err() != nil {
				return kvdb.ErrWatchStopped
			}
			if event.Key = w.relative(event.Key); isForeign(event.Key) {
				continue
			}
			prefix := w.watched
			if w.profile.EventKeyAsPrefix {
				prefix = w.domain + event.Key
			}
			if w.cb(prefix, w.opaque, event, nil) != nil {
				return kvdb.ErrWatchStopped
			}
		}
		if errors.Is(err, kvdb.ErrWatchRevisionCompacted) {
			return kvdb.ErrWatchRevisionCompacted
		} else if err != nil {
			return kvdb.ErrWatchStopped
		}
	}
}
