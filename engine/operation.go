package engine

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/portworx/kvdb"
)

// operation is a call of a method that hooks observe.
type operation struct {
	hooks []kvdb.HookOperation
	ctx   context.Context
	given context.Context // that of the view
	what  kvdb.Operation
	began time.Time
}

// operations are operations that have ended, for reuse.
var operations = sync.Pool{New: func() any { return new(operation) }}

// start begins an operation. A method that is an operation begins with
//
//	kv, op := kv.start("get", key)
//	if op != nil {
//		defer op.end(&err)
//	}
//
// where the new kv has the context of the operation. It does not call other such methods,
// so that hooks see it once. Without hooks op is nil, and these lines take less than two
// nanoseconds.
func (kv *view) start(name, key string) (*view, *operation) {
	if hooks := kv.hooks.Kinds().Operation; len(hooks) > 0 {
		return kv.startObserved(hooks, name, key)
	}
	return kv, nil
}

func (kv *view) startObserved(hooks []kvdb.HookOperation, name, key string) (*view, *operation) {
	op := operations.Get().(*operation)
	*op = operation{hooks: hooks, ctx: kv.ctx, given: kv.ctx, began: time.Now()}
	op.what = kvdb.Operation{Backend: kv.name, Domain: kv.given, Name: name, Key: key}
	for _, h := range hooks {
		op.ctx = h.OnOperationStart(op.ctx, op.what)
	}
	if !isSame(op.ctx, kv.ctx) {
		kv = &view{instance: kv.instance, ctx: op.ctx, outer: kv.outer, unbound: kv.unbound}
	}
	return kv, op
}

// outlived returns a view for what outlives the operation, such as a watch. Its context has
// the values of the operation's and ends with the caller's, because a hook may end its own.
func (op *operation) outlived(kv *view) *view {
	return &view{instance: kv.instance, ctx: lasting{op.given, op.ctx}, outer: kv.outer, unbound: kv.unbound}
}

// lasting is a context with the values of another one.
type lasting struct {
	context.Context
	values context.Context
}

func (l lasting) Value(key any) any { return l.values.Value(key) }

// isSame reports whether a and b are the same context. It is false if b is not a pointer, because
// other types may not be comparable.
func isSame(a, b context.Context) bool { return reflect.TypeOf(b).Kind() == reflect.Pointer && a == b }

// end ends the operation, with the error that the caller gets. op must not be used again.
func (op *operation) end(err *error) {
	took := time.Since(op.began)
	outcome := kvdb.OutcomeOf(*err)
	if outcome == kvdb.OutcomeExists && op.what.Name == "lock" {
		outcome = kvdb.OutcomeLocked
	}
	for i := len(op.hooks) - 1; i >= 0; i-- {
		op.hooks[i].OnOperationEnd(op.ctx, op.what, outcome, *err, took)
	}
	*op = operation{}
	operations.Put(op)
}

// operate makes a call that returns an error only, as an operation.
func (kv *view) operate(name, key string, f func(ctx context.Context) error) (err error) {
	kv, op := kv.start(name, key)
	if op != nil {
		defer op.end(&err)
	}
	return kv.run(f)
}
