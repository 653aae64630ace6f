package wrappers

import (
	"context"
	"iter"
	"time"

	"github.com/portworx/kvdb"
)

// hookWrapper adds hooks to an instance for as long as it is in the chain. It passes on all
// calls.
type hookWrapper struct {
	base
	hooks []kvdb.Hook // none in a view
}

var (
	_ kvdb.ContextBinder = (*hookWrapper)(nil)
	_ kvdb.PagerWith     = (*hookWrapper)(nil)
	_ kvdb.TTLReader     = (*hookWrapper)(nil)
	_ kvdb.BatchWatcher  = (*hookWrapper)(nil)
)

// NewHookWrapper adds hooks to the instance behind kv, see [kvdb.AddHooks], and returns a
// wrapper that passes on every call. When the wrapper is removed, it removes the hooks. It is
// for packages with hooks that register a wrapper, so that [kvdb.WrappersOption] is enough to
// use them:
//
//	kvdb.RegisterWrapper(Name, func(kv kvdb.Kvdb, options map[string]string) (kvdb.Kvdb, error) {
//		return wrappers.NewHookWrapper(Name, kv, newHook(options))
//	})
func NewHookWrapper(name kvdb.WrapperName, kv kvdb.Kvdb, hooks ...kvdb.Hook) (kvdb.Kvdb, error) {
	if err := kvdb.AddHooks(kv, hooks...); err != nil {
		return nil, err
	}
	return &hookWrapper{base{kv, name}, hooks}, nil
}

// Removed removes the hooks.
func (w *hookWrapper) Removed() { kvdb.RemoveHooks(w.Kvdb, w.hooks...) }

// BindContext implements [kvdb.ContextBinder].
func (w *hookWrapper) BindContext(ctx context.Context) kvdb.Kvdb {
	return &hookWrapper{base: base{kvdb.WithContext(ctx, w.Kvdb), w.name}}
}

// EnumeratePages implements [kvdb.Pager].
func (w *hookWrapper) EnumeratePages(prefix string, pageSize int) iter.Seq2[*kvdb.KVPair, error] {
	return w.EnumeratePagesWith(prefix, kvdb.PageOptions{Size: pageSize})
}

// EnumeratePagesWith implements [kvdb.PagerWith].
func (w *hookWrapper) EnumeratePagesWith(prefix string, o kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	return kvdb.PairsWith(w.Kvdb, prefix, o)
}

// TTLOf implements [kvdb.TTLReader].
func (w *hookWrapper) TTLOf(key string) (remaining time.Duration, has bool, err error) {
	return kvdb.TTLOf(w.Kvdb, key)
}

// WatchBatches implements [kvdb.BatchWatcher].
func (w *hookWrapper) WatchBatches(prefix string, waitIndex uint64, batchCB kvdb.WatchBatchCB) error {
	return kvdb.WatchBatches(w.Kvdb, prefix, waitIndex, batchCB)
}
