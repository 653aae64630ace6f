package kvdb

import "context"

// ContextBinder is implemented by a [Kvdb] that [WithContext] can bind to a context.
// All backends and wrappers of this module implement it.
type ContextBinder interface {
	// BindContext returns a view of the same instance whose every call, lock
	// wait and watch ends with ctx. A view of a view obeys both contexts.
	BindContext(ctx context.Context) Kvdb
}

// WithContext returns a view of kv whose every call, lock wait and watch obeys
// ctx. If ctx ends first, a call returns an error that wraps ctx.Err() and
// context.Cause(ctx), and a watch ends with [ErrWatchStopped]. The error of a write
// that was already sent then wraps [ErrUnknownOutcome]. A lock that was obtained is not
// bound to ctx: it is held until Unlock. The view shares everything with kv and needs
// no [Close].
//
// A [Kvdb] that is not a [ContextBinder], such as a mock, is returned unchanged.
func WithContext(ctx context.Context, kv Kvdb) Kvdb {
	if b, ok := kv.(ContextBinder); ok {
		return b.BindContext(ctx)
	}
	return kv
}
