package kvdb

import "context"

// ContextBinder is implemented by a [Kvdb] of which [WithContext] can make a view.
// All backends and wrappers of this module implement it.
type ContextBinder interface {
	// BindContext returns a view of the same instance whose every call, lock
	// wait and watch ends with ctx. A view of a view obeys both contexts.
	BindContext(ctx context.Context) Kvdb
}

// WithContext returns a view of kv whose every call, lock wait and watch obeys
// ctx: a call fails with an error that wraps ctx.Err() and context.Cause(ctx) when
// ctx ends before it, and a watch made through the view ends with [ErrWatchStopped]. A
// write that ctx interrupts after it was sent is [ErrUnknownOutcome]. A lock
// obtained through the view is not bound to ctx: it is held until Unlock. The
// view shares everything with kv and needs no [Close].
//
// A [Kvdb] that is not a [ContextBinder] (a mock, say) is returned as it is.
func WithContext(ctx context.Context, kv Kvdb) Kvdb {
	if b, ok := kv.(ContextBinder); ok {
		return b.BindContext(ctx)
	}
	return kv
}
