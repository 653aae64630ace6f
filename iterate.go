package kvdb

import (
	"context"
	"iter"
)

// DefaultPageSize is the number of pairs that [Pairs] reads at a time.
const DefaultPageSize = 1000

// Pager is implemented by a [Kvdb] that can enumerate in pages. All backends and
// wrappers of this module implement it.
type Pager interface {
	// EnumeratePages is Enumerate, pageSize pairs at a time. Each page shows one
	// moment in time. If the store can read at a past index (etcd v3), all pages show
	// the same moment. On other stores a key that exists throughout is yielded
	// exactly once. An error is the last thing that the iterator yields.
	EnumeratePages(prefix string, pageSize int) iter.Seq2[*KVPair, error]
}

// Pairs iterates over the pairs that Enumerate(prefix) returns, in pages of
// [DefaultPageSize], so that a tree need not fit into memory. An error ends the
// iteration. A [Kvdb] that is not a [Pager] is enumerated at once.
//
//	for pair, err := range kvdb.Pairs(kv, "volumes/") {
//		if err != nil {
//			return err
//		}
//		…
//	}
func Pairs(kv Kvdb, prefix string) iter.Seq2[*KVPair, error] {
	if p, ok := kv.(Pager); ok {
		return p.EnumeratePages(prefix, DefaultPageSize)
	}
	return func(yield func(*KVPair, error) bool) {
		pairs, err := kv.Enumerate(prefix)
		for _, pair := range pairs {
			if !yield(pair, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// Events is [Kvdb.WatchTree] as an iterator. When Events returns without an error, the
// watch is registered: every write that starts afterwards is yielded. The iterator
// yields each event in order, and finally the error that ended the watch:
// [ErrWatchRevisionCompacted] or, also when ctx ends, [ErrWatchStopped]. It can be ranged
// over once. The watch stops when the loop ends or ctx does, so a program that does not
// start the loop must cancel ctx. [Close] of the instance waits until the loop has taken
// its event, so do not call it in the loop.
func Events(ctx context.Context, kv Kvdb, prefix string, waitIndex uint64) (iter.Seq2[*KVPair, error], error) {
	return iterate(ctx, kv, func(kv Kvdb, deliver func(*KVPair, error) error) error {
		return kv.WatchTree(prefix, waitIndex, nil, func(_ string, _ interface{}, pair *KVPair, err error) error {
			return deliver(pair, err)
		})
	})
}

// iterate returns what a watch delivers as an iterator; see [Events]. watch starts the watch
// on the given view of kv.
func iterate[T any](ctx context.Context, kv Kvdb, watch func(kv Kvdb, deliver func(T, error) error) error) (iter.Seq2[T, error], error) {
	ctx, cancel := context.WithCancel(ctx)
	delivered := make(chan T)
	// over has the error that ended the watch. It is buffered so that Close need not
	// wait for the loop.
	over := make(chan error, 1)
	deliver := func(event T, err error) error {
		if err != nil {
			select {
			case over <- err:
			default: // keep the first
			}
			return err
		}
		select {
		case delivered <- event:
			return nil
		case <-ctx.Done():
			return ErrWatchStopped
		}
	}
	if err := watch(WithContext(ctx, kv), deliver); err != nil {
		cancel()
		return nil, err
	}
	return func(yield func(T, error) bool) {
		defer cancel()
		var none T
		for {
			select {
			case event := <-delivered:
				if !yield(event, nil) {
					return
				}
			case err := <-over:
				yield(none, err)
				return
			case <-ctx.Done():
				yield(none, ErrWatchStopped)
				return
			}
		}
	}, nil
}
