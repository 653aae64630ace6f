package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// WatchKey watches one key.
func (kv *view) WatchKey(key string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error {
	full, err := kv.key(key)
	if err != nil {
		return err
	}
	return kv.watch(driver.WatchRequest{Key: full, After: waitIndex}, kv.eachEvent(key, opaque, watchCB))
}

// WatchTree watches every key with the string prefix prefix.
func (kv *view) WatchTree(prefix string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error {
	full, err := kv.stringPrefix(prefix)
	if err != nil {
		return err
	}
	return kv.watch(driver.WatchRequest{Key: full, Prefix: true, After: waitIndex}, kv.eachEvent(prefix, opaque, watchCB))
}

// WatchBatches implements kvdb.BatchWatcher.
func (kv *view) WatchBatches(prefix string, waitIndex uint64, batchCB kvdb.WatchBatchCB) error {
	full, err := kv.stringPrefix(prefix)
	if err != nil {
		return err
	}
	var cb batchFunc
	if batchCB != nil {
		cb = func(_ context.Context, events kvdb.KVPairs, err error) error { return batchCB(events, err) }
	}
	return kv.watch(driver.WatchRequest{Key: full, Prefix: true, After: waitIndex}, cb)
}

// batchFunc is a callback that gets the events that have arrived, or the error that ended
// the watch. ctx is the context of the watch.
type batchFunc func(ctx context.Context, events kvdb.KVPairs, err error) error

// eachEvent returns a callback that calls cb with each event, or nil if cb is nil. name is
// the watched key or prefix.
func (kv *view) eachEvent(name string, opaque interface{}, cb kvdb.WatchCB) batchFunc {
	if cb == nil {
		return nil
	}
	watched := kv.domain + name
	return func(ctx context.Context, events kvdb.KVPairs, err error) error {
		if err != nil {
			return cb(watched, opaque, nil, err)
		}
		for _, event := range events {
			if ctx.Err() != nil {
				return kvdb.ErrWatchStopped
			}
			prefix := watched
			if kv.profile.EventKeyAsPrefix {
				prefix = kv.domain + event.Key
			}
			if err := cb(prefix, opaque, event, nil); err != nil {
				return err
			}
		}
		return nil
	}
}

func (kv *view) watch(r driver.WatchRequest, cb batchFunc) error {
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
	w := &watcher{kv.instance, ctx, cancel, stream, cb}
	run := func() {
		final := w.deliver()
		// The watch is over, so the result of this call is ignored.
		_ = cb(ctx, nil, final)
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
	ctx    context.Context
	cancel context.CancelFunc
	stream driver.Stream
	cb     batchFunc
}

// deliver calls the callback with the events, and returns the error that ended the watch.
// It releases the watch even if the callback ends the goroutine, as t.FailNow does.
func (w *watcher) deliver() error {
	defer w.cancel()
	defer w.stream.Close()
	for {
		events, err := w.stream.Next()
		events = slices.DeleteFunc(events, func(event *kvdb.KVPair) bool {
			event.Key = w.relative(event.Key)
			return isForeign(event.Key)
		})
		if len(events) > 0 && (w.ctx.Err() != nil || w.cb(w.ctx, events, nil) != nil) {
			return kvdb.ErrWatchStopped
		}
		if errors.Is(err, kvdb.ErrWatchRevisionCompacted) {
			return kvdb.ErrWatchRevisionCompacted
		} else if err != nil {
			return kvdb.ErrWatchStopped
		}
	}
}
