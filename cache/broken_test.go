package cache_test

import (
	"context"
	"sync"

	"github.com/portworx/kvdb"
)

// breakable is a view of a store whose watches the test can end, and whose snapshots can
// fail. The store can be replaced by another one.
type breakable struct {
	kvdb.Kvdb // the view's store, for calls other than those below
	*breaks
	ctx context.Context
}

type breaks struct {
	mu      sync.Mutex // protects the fields below
	store   kvdb.Kvdb
	refusal error                    // the error of Snapshot, or nil
	held    func()                   // called at the beginning of Snapshot, or nil
	ends    map[*context.Context]end // of the running watches
}

// end ends a watch with an error.
type end func(error)

func newBreakable(kv kvdb.Kvdb) breakable {
	return breakable{kv, &breaks{store: kv, ends: map[*context.Context]end{}}, context.Background()}
}

func (b breakable) BindContext(ctx context.Context) kvdb.Kvdb {
	return breakable{b.Kvdb, b.breaks, ctx}
}

// endWatches ends the running watches with err.
func (b *breaks) endWatches(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, end := range b.ends {
		end(err)
		delete(b.ends, id)
	}
}

func (b *breaks) refuse(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusal = err
}

func (b breakable) WatchBatches(prefix string, waitIndex uint64, cb kvdb.WatchBatchCB) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	ctx, cancel := context.WithCancelCause(b.ctx)
	id := &ctx
	err := kvdb.WatchBatches(kvdb.WithContext(ctx, b.store), prefix, waitIndex, func(events kvdb.KVPairs, err error) error {
		if err != nil && b.ctx.Err() == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return cb(events, err)
	})
	if err != nil {
		cancel(err)
		return err
	}
	b.ends[id] = end(cancel)
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.ends, id)
	})
	return nil
}

func (b breakable) Snapshot(prefixes []string, consistent bool) (kvdb.Kvdb, uint64, error) {
	b.mu.Lock()
	store, refusal, held := b.store, b.refusal, b.held
	b.mu.Unlock()
	if refusal != nil {
		return nil, 0, refusal
	}
	if held != nil {
		held()
	}
	return kvdb.WithContext(b.ctx, store).Snapshot(prefixes, consistent)
}
