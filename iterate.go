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

// PagerWith is implemented by a [Kvdb] that can enumerate with [PageOptions]. All backends
// and wrappers of this module implement it.
type PagerWith interface {
	// EnumeratePagesWith is EnumeratePages of [Pager], with options.
	EnumeratePagesWith(prefix string, o PageOptions) iter.Seq2[*KVPair, error]
}

// PageOptions are the options of [PairsWith]. The zero value means what [Pairs] does.
type PageOptions struct {
	// Hidden includes the keys whose last component begins with "_". (etcd v2 does
	// not list a key with such a component below the prefix.)
	Hidden bool
	// KeysOnly leaves out the values: Value is nil. The indexes are there.
	KeysOnly bool
	// TTL sets KVPair.TTL also where that takes more requests: one for each lease among
	// the pairs of a page on etcd v3, and one for each page on Consul. [TTLOf] says how
	// exact it is. On ZooKeeper, where no pair has a TTL, it is 0.
	TTL bool
	// From is the first key. Keys that sort before it are left out. It need not exist.
	From string
	// Size is the number of pairs that are read at a time. If it is not positive,
	// DefaultPageSize is used.
	Size int
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
	return PairsWith(kv, prefix, PageOptions{})
}

// PairsWith is [Pairs] with options. On a [Kvdb] that is not a [PagerWith], such as a mock,
// the options Hidden and TTL end the iteration at once with [ErrNotSupported].
func PairsWith(kv Kvdb, prefix string, o PageOptions) iter.Seq2[*KVPair, error] {
	if o.Size <= 0 {
		o.Size = DefaultPageSize
	}
	if p, ok := kv.(PagerWith); ok {
		return p.EnumeratePagesWith(prefix, o)
	}
	return func(yield func(*KVPair, error) bool) {
		if o.Hidden || o.TTL {
			yield(nil, ErrNotSupported)
			return
		}
		for pair, err := range pages(kv, prefix, o.Size) {
			if err == nil {
				if pair.Key < o.From {
					continue
				}
				if o.KeysOnly {
					without := *pair
					without.Value = nil
					pair = &without
				}
			}
			if !yield(pair, err) {
				return
			}
		}
	}
}

// pages enumerates a [Kvdb] that is not a [PagerWith].
func pages(kv Kvdb, prefix string, size int) iter.Seq2[*KVPair, error] {
	if p, ok := kv.(Pager); ok {
		return p.EnumeratePages(prefix, size)
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
