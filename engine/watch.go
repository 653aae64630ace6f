package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// WatchKey watches one key.
func (kv *view) WatchKey(key string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error {
	return kv.watch(key, driver.WatchRequest{After: waitIndex}, kv.eachEvent(key, opaque, watchCB))
}

// WatchTree watches every key with the string prefix prefix.
func (kv *view) WatchTree(prefix string, waitIndex uint64, opaque interface{}, watchCB kvdb.WatchCB) error {
	return kv.watch(prefix, driver.WatchRequest{Prefix: true, After: waitIndex}, kv.eachEvent(prefix, opaque, watchCB))
}

// WatchBatches implements kvdb.BatchWatcher.
func (kv *view) WatchBatches(prefix string, waitIndex uint64, batchCB kvdb.WatchBatchCB) error {
	var cb batchFunc
	if batchCB != nil {
		cb = func(w *watcher, events kvdb.KVPairs, err error) error {
			return w.observed(events, func() error { return batchCB(events, err) })
		}
	}
	return kv.watch(prefix, driver.WatchRequest{Prefix: true, After: waitIndex}, cb)
}

// batchFunc is a callback of w that gets the events that have arrived, or the error that
// ended the watch.
type batchFunc func(w *watcher, events kvdb.KVPairs, err error) error

// eachEvent returns a callback that calls cb with each event, or nil if cb is nil. name is
// the watched key or prefix.
func (kv *view) eachEvent(name string, opaque interface{}, cb kvdb.WatchCB) batchFunc {
	if cb == nil {
		return nil
	}
	watched := kv.domain + name
	return func(w *watcher, events kvdb.KVPairs, err error) error {
		if err != nil {
			return cb(watched, opaque, nil, err)
		}
		for i, event := range events {
			if w.ctx.Err() != nil {
				return driver.WithCause(w.ctx, nil)
			}
			prefix := watched
			if kv.profile.EventKeyAsPrefix {
				prefix = kv.domain + event.Key
			}
			if err := w.observed(events[i:i+1], func() error { return cb(prefix, opaque, event, nil) }); err != nil {
				return err
			}
		}
		return nil
	}
}

// watch starts a watch. name is the key or prefix that the caller gave; r lacks it.
func (kv *view) watch(name string, r driver.WatchRequest, cb batchFunc) (err error) {
	kv, op := kv.start("watch", name)
	if op != nil {
		defer op.end(&err)
		kv = op.outlived(kv)
	}
	if r.Prefix {
		r.Key, err = kv.stringPrefix(name)
	} else {
		r.Key, err = kv.key(name)
	}
	if err != nil {
		return err
	}
	if cb == nil {
		return fmt.Errorf("%w: no watch callback given", kvdb.ErrIllegal)
	}
	ctx, cancel, err := kv.beginUnbounded()
	if err != nil {
		return err
	}
	r.Observer = driver.NewWatchObserver(kv.hooks, kvdb.Watch{Backend: kv.name, Domain: kv.given, Key: name, Tree: r.Prefix})
	stream, err := kv.store.Watch(ctx, r)
	if err != nil {
		cancel()
		return err
	}
	w := &watcher{instance: kv.instance, ctx: ctx, cancel: cancel, stream: stream, observer: r.Observer, cb: cb}
	w.observer.Start()
	run := func() {
		final := w.deliver()
		// The watch is over, so the result of this call is ignored.
		_ = cb(w, nil, final)
	}
	if !kv.launch(run) {
		stream.Close()
		cancel()
		w.observer.End(kvdb.ErrWatchStopped, kvdb.ErrClosed)
		return kvdb.ErrClosed
	}
	return nil
}

// watcher hands a stream's events to a callback.
type watcher struct {
	*instance
	ctx      context.Context
	cancel   context.CancelFunc
	stream   driver.Stream
	observer *driver.WatchObserver
	cb       batchFunc
	since    time.Time // since when the events have waited, see driver.WatchObserver.Taken
}

// deliver calls the callback with the events, and returns the error that ended the watch.
// It releases the watch even if the callback ends the goroutine, as t.FailNow does.
func (w *watcher) deliver() (final error) {
	final = kvdb.ErrWatchStopped
	var cause error
	defer func() {
		w.stream.Close()
		w.cancel()
		w.observer.End(final, cause)
	}()
	for {
		events, err := w.stream.Next()
		events = slices.DeleteFunc(events, func(event *kvdb.KVPair) bool {
			event.Key = w.relative(event.Key)
			return isForeign(event.Key)
		})
		if cause = w.hand(events); cause != nil {
			return final
		}
		if errors.Is(err, kvdb.ErrWatchRevisionCompacted) {
			final = kvdb.ErrWatchRevisionCompacted
		}
		if err != nil {
			cause = driver.WithCause(w.ctx, err)
			return final
		}
	}
}

// hand calls the callback with the events that Next has returned, if any. It returns the
// error that ended the watch meanwhile, or nil.
func (w *watcher) hand(events kvdb.KVPairs) error {
	w.since = w.observer.Taken(len(events))
	if len(events) == 0 {
		return nil
	}
	if w.ctx.Err() != nil {
		return driver.WithCause(w.ctx, nil)
	}
	return w.cb(w, events, nil)
}

// observed makes one call of the callback, which gets these events.
func (w *watcher) observed(events kvdb.KVPairs, call func() error) error {
	hooks := w.hooks.Kinds().Delivery
	if len(hooks) == 0 || len(events) == 0 {
		err := call()
		w.observer.Delivered(len(events))
		return err
	}
	deliveries := make([]kvdb.Delivery, len(events)) // made before the call, which may change the events
	for i, event := range events {
		deliveries[i] = kvdb.Delivery{Watch: w.observer.Watch(), Key: event.Key, Action: event.Action, Index: event.ModifiedIndex}
	}
	start := time.Now()
	err := call()
	took := time.Since(start) / time.Duration(len(events))
	for _, d := range deliveries {
		if d.Took = took; !w.since.IsZero() {
			d.Waited = start.Sub(w.since)
		}
		for _, h := range hooks {
			h.OnDelivery(d)
		}
	}
	w.observer.Delivered(len(events))
	return err
}
