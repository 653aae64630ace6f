// Package fatalcb lets a package of this module take over the loss of its locks from the
// fatal callback of the instance.
package fatalcb

import "context"

type key struct{}

// Without returns a context for kvdb.WithContext. The fatal callback is not called for the
// locks that the view obtains, because their holder reacts to Lost of kvdb.HeldLock.
func Without(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Wanted reports whether the fatal callback is called for a lock that is obtained under ctx.
func Wanted(ctx context.Context) bool { return ctx.Value(key{}) == nil }
