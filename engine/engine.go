// Package engine implements kvdb.Kvdb over a driver.Store. It has everything that is
// the same for all stores. Like package driver it is experimental.
package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/common"
	"github.com/portworx/kvdb/driver"
)

const (
	// closeTimeout bounds Close.
	closeTimeout = 10 * time.Second
	// callbackTimeout is the part of it during which Close waits for callbacks. The
	// store has the rest to release its locks.
	callbackTimeout = 5 * time.Second
)

// Config is what a backend gives to New.
type Config struct {
	// Name is the name of the backend, which String returns.
	Name string
	// Domain is the domain that the caller gave.
	Domain string
	// Store is the store. New takes it over.
	Store driver.Store
	// FatalCb is the caller's fatal callback. If it is nil, fatal errors are logged.
	FatalCb kvdb.FatalErrorCB
	// Hooks are the hooks that Store calls. It may be nil.
	Hooks *driver.Hooks
}

// view implements kvdb.Kvdb. Every call through a view of an instance obeys ctx.
type view struct {
	*instance
	ctx context.Context
	// outer is the view that this one was made from, or nil. Every call obeys its
	// context too.
	outer *view
	// unbound means that ctx is the instance's lifetime, or derived from it by hooks.
	unbound bool
}

var (
	_ kvdb.Kvdb           = (*view)(nil)
	_ kvdb.Pager          = (*view)(nil)
	_ kvdb.BatchWatcher   = (*view)(nil)
	_ kvdb.PagerWith      = (*view)(nil)
	_ kvdb.TTLReader      = (*view)(nil)
	_ kvdb.ContextBinder  = (*view)(nil)
	_ kvdb.LimitsReporter = (*view)(nil)
	_ kvdb.HookAdder      = (*view)(nil)
)

// instance is what all views share.
type instance struct {
	common.BaseKvdb

	name    string
	given   string // the domain that the caller gave
	store   driver.Store
	members driver.MemberAdmin
	profile driver.Profile
	hooks   *driver.Hooks
	// prefix goes in front of the keys that the store gets, domain in front of the
	// keys that watch callbacks get. Both are "" or end in a slash.
	prefix, domain string

	lifetime  context.Context // ends with cause kvdb.ErrClosed at Close
	end       context.CancelCauseFunc
	lockQueue lockQueue

	mu         sync.Mutex // makes launch and Close exclude each other
	closed     atomic.Bool
	goroutines sync.WaitGroup
}

// New returns an instance over cfg.Store, which it owns from now on. When it
// fails the store is closed.
func New(cfg Config) (kvdb.Kvdb, error) {
	i := &instance{name: cfg.Name, given: cfg.Domain, store: cfg.Store, profile: cfg.Store.Profile(), hooks: cfg.Hooks}
	if i.hooks == nil {
		i.hooks = &driver.Hooks{}
	}
	i.FatalCb = cfg.FatalCb
	i.lockQueue.waiting = map[string][]chan struct{}{}
	i.members = driver.MembersNotSupported{}
	if m, ok := cfg.Store.(driver.MemberAdmin); ok {
		i.members = m
	}
	i.domain = cfg.Domain
	if i.domain != "" && !strings.HasSuffix(i.domain, kvdb.DefaultSeparator) {
		i.domain += kvdb.DefaultSeparator
	}
	if i.profile.CheckPrefix != nil {
		var err error
		if i.domain, err = i.profile.CheckPrefix(i.domain); err != nil {
			return nil, errors.Join(fmt.Errorf("domain: %w", illegalKey(cfg.Domain, err)), closeStore(cfg.Store, closeTimeout))
		}
	}
	if !i.profile.PrivateKeyspace {
		i.prefix = i.domain
	}
	i.lifetime, i.end = context.WithCancelCause(context.Background())
	return &view{instance: i, ctx: i.lifetime, unbound: true}, nil
}

// String returns the name of the backend.
func (i *instance) String() string { return i.name }

// Capabilities returns the KVCapability bits of the backend.
func (i *instance) Capabilities() int { return i.profile.Capabilities }

// AddHooks implements kvdb.HookAdder.
func (i *instance) AddHooks(hooks ...kvdb.Hook) { i.hooks.Add(hooks...) }

// RemoveHooks implements kvdb.HookAdder.
func (i *instance) RemoveHooks(hooks ...kvdb.Hook) { i.hooks.Remove(hooks...) }

// BindContext implements kvdb.ContextBinder.
func (kv *view) BindContext(ctx context.Context) kvdb.Kvdb {
	bound := &view{instance: kv.instance, ctx: ctx}
	if !kv.unbound {
		bound.outer = kv
	}
	return bound
}

// begin starts a call. It returns the context for the store, which ends with the
// context of the view, with the instance, and at the store's time limit for a call.
func (kv *view) begin() (context.Context, context.CancelFunc, error) {
	if err := kv.usable(); err != nil {
		return nil, nil, err
	}
	if kv.profile.OpTimeout == 0 {
		if kv.unbound {
			return kv.ctx, func() {}, nil
		}
		ctx, cancel := kv.merged()
		return ctx, cancel, nil
	}
	if kv.unbound { // the usual case needs only one context
		ctx, cancel := driver.WithTimeLimit(kv.ctx, kv.profile.OpTimeout)
		return ctx, cancel, nil
	}
	ctx, cancel := kv.merged()
	bounded, cancelTimeout := driver.WithTimeLimit(ctx, kv.profile.OpTimeout)
	return bounded, func() { cancelTimeout(); cancel() }, nil
}

// beginUnbounded is begin without the time limit.
func (kv *view) beginUnbounded() (context.Context, context.CancelFunc, error) {
	if err := kv.usable(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := kv.merged()
	return ctx, cancel, nil
}

func (kv *view) usable() error {
	if kv.closed.Load() {
		return kvdb.ErrClosed
	}
	for v := kv; v != nil; v = v.outer {
		if v.ctx.Err() != nil {
			return driver.WithCause(v.ctx, nil)
		}
	}
	return nil
}

// merged returns a context that ends with the contexts of the view and of its outer
// views, and with the instance. After cancel none of them refers to it.
func (kv *view) merged() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(kv.ctx)
	if kv.unbound {
		return ctx, func() { cancel(nil) }
	}
	detach := []func() bool{context.AfterFunc(kv.lifetime, func() { cancel(kvdb.ErrClosed) })}
	for v := kv.outer; v != nil; v = v.outer {
		detach = append(detach, context.AfterFunc(v.ctx, func() { cancel(driver.EndOf(v.ctx)) }))
	}
	return ctx, func() {
		for _, f := range detach {
			f()
		}
		cancel(nil)
	}
}

// launch runs f on a goroutine that Close waits for. After Close it returns false and
// does not run f.
func (i *instance) launch(f func()) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed.Load() {
		return false
	}
	i.goroutines.Go(f)
	return true
}

// Close implements io.Closer; see kvdb.Close.
func (i *instance) Close() error {
	i.mu.Lock()
	again := i.closed.Swap(true)
	i.mu.Unlock()
	if again {
		return nil
	}
	began := time.Now()
	i.end(kvdb.ErrClosed)
	var err error
	finished := make(chan struct{})
	go func() { i.goroutines.Wait(); close(finished) }()
	timer := time.NewTimer(callbackTimeout)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
		err = fmt.Errorf("close %s: a watch callback has been running for more than %v", i.name, callbackTimeout)
	}
	return errors.Join(err, closeStore(i.store, closeTimeout-time.Since(began)))
}

// closeStore closes a store within limit.
func closeStore(store driver.Store, limit time.Duration) error {
	ctx, cancel := driver.WithTimeLimit(context.Background(), limit)
	defer cancel()
	return store.Close(ctx)
}
