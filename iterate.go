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
	// EnumeratePages is Enumerate, pageSize pairs at a time. Each page is one
	// moment in time, and where the store can read at a past index (etcd v3) so
	// is the whole; elsewhere a key that exists throughout comes exactly once.
	// An error is the last thing that the iterator yields.
	EnumeratePages(prefix string, pageSize int) iter.Seq2[*KVPair, error]
}

// Pairs iterates over what Enumerate(prefix) would return, sorted by key, in
// pages of [DefaultPageSize], for trees too large for memory. An error ends the
// iteration. A [Kvdb] that is no [Pager] is enumerated in one piece.
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

// Events is [Kvdb.WatchTree] as an iterator. The watch is registered when Events
// returns nil: any write that starts afterwards is yielded. The iterator can be
// ranged over once. It yields each event in order, and as the last thing the
// error that ended the watch: [ErrWatchRevisionCompacted], or [ErrWatchStopped],
// also when ctx ends. Leaving the loop stops the watch; without a loop it is
// ctx that must end. An event waits for the loop to take it: [Close] of the
// instance waits for that too, so do not call it in the loop.
func Events(ctx context.Context, kv Kvdb, prefix string, waitIndex uint64) (iter.Seq2[*KVPair, error], error) {
	ctx, cancel := context.WithCancel(ctx)
	pairs := make(chan *KVPair)
	// over has the error that ended the watch. It is buffered so that Close does
	// not have to wait for who is not in the loop at the moment.
	over := make(chan error, 1)
	deliver := func(_ string, _ interface{}, pair *KVPair, err error) error {
		if err != nil {
			select {
			case over <- err:
			default: // the first one counts
			}
			return err
		}
		select {
		case pairs <- pair:
			return nil
		case <-ctx.Done():
			return ErrWatchStopped
		}
	}
	if err := WithContext(ctx, kv).WatchTree(prefix, waitIndex, nil, deliver); err != nil {
		cancel()
		return nil, err
	}
	return func(yield func(*KVPair, error) bool) {
		defer cancel()
		for {
			select {
			case pair := <-pairs:
				if !yield(pair, nil) {
					return
				}
			case err := <-over:
				yield(nil, err)
				return
			case <-ctx.Done():
				yield(nil, ErrWatchStopped)
				return
			}
		}
	}, nil
}
