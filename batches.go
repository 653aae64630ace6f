package kvdb

import (
	"context"
	"iter"
)

// WatchBatchCB is like [WatchCB], and gets all events that have arrived since its last call.
// If err is not nil, events is empty and the watch is over.
type WatchBatchCB func(events KVPairs, err error) error

// BatchWatcher is implemented by a [Kvdb] whose watches can deliver several events at a
// time. All backends and wrappers of this module implement it.
type BatchWatcher interface {
	// WatchBatches is WatchTree with a callback that gets batches. Events with the same
	// ModifiedIndex are in one batch, so a batch never shows a part of a transaction that
	// has one index (etcd v3, Consul, ZooKeeper).
	WatchBatches(prefix string, waitIndex uint64, batchCB WatchBatchCB) error
}

// WatchBatches is [Kvdb.WatchTree] with a callback that gets batches. With a [Kvdb] that is
// not a [BatchWatcher] each batch has one event.
func WatchBatches(kv Kvdb, prefix string, waitIndex uint64, batchCB WatchBatchCB) error {
	if w, ok := kv.(BatchWatcher); ok {
		return w.WatchBatches(prefix, waitIndex, batchCB)
	}
	if batchCB == nil {
		return kv.WatchTree(prefix, waitIndex, nil, nil)
	}
	return kv.WatchTree(prefix, waitIndex, nil, func(_ string, _ interface{}, pair *KVPair, err error) error {
		if err != nil {
			return batchCB(nil, err)
		}
		return batchCB(KVPairs{pair}, nil)
	})
}

// EventBatches is like [Events], and yields all events that have arrived at a time; see
// [WatchBatches]. It is faster if there are many.
func EventBatches(ctx context.Context, kv Kvdb, prefix string, waitIndex uint64) (iter.Seq2[KVPairs, error], error) {
	return iterate(ctx, kv, func(kv Kvdb, deliver func(KVPairs, error) error) error {
		return WatchBatches(kv, prefix, waitIndex, deliver)
	})
}
