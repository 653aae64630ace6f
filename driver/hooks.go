package driver

import (
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/portworx/kvdb"
)

// Hooks are the hooks of an instance. The zero value has none. A Store that observes
// requests, connections or interruptions of watches has one, and gives it to the engine,
// which adds the caller's hooks to it. Its methods are safe for concurrent use.
type Hooks struct {
	mu    sync.Mutex // makes Add and Remove exclude each other
	all   []kvdb.Hook
	kinds atomic.Pointer[HookKinds]
}

// HookKinds are hooks by the interfaces that they implement, in the order in which they
// were added.
type HookKinds struct {
	// Operation has the hooks that observe operations, and so on.
	Operation  []kvdb.HookOperation
	Request    []kvdb.HookRequest    // requests
	Connection []kvdb.HookConnection // connections
	Watch      []kvdb.HookWatch      // watches
	Delivery   []kvdb.HookDelivery   // deliveries of events
	Lock       []kvdb.HookLock       // locks
}

// noHooks are the kinds of an instance without hooks.
var noHooks HookKinds

// Kinds returns the present hooks. They must not be changed. It returns an empty HookKinds
// for nil Hooks. Without hooks it costs about a nanosecond.
func (h *Hooks) Kinds() *HookKinds {
	if h == nil {
		return &noHooks
	}
	if kinds := h.kinds.Load(); kinds != nil {
		return kinds
	}
	return &noHooks
}

// Add adds hooks, except those that there are already.
func (h *Hooks) Add(hooks ...kvdb.Hook) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, hook := range hooks {
		if !slices.ContainsFunc(h.all, func(other kvdb.Hook) bool { return isSame(other, hook) }) {
			h.all = append(h.all, hook)
		}
	}
	h.sort()
}

// Remove removes hooks. Calls of them may still be running.
func (h *Hooks) Remove(hooks ...kvdb.Hook) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, hook := range hooks {
		h.all = slices.DeleteFunc(h.all, func(other kvdb.Hook) bool { return isSame(other, hook) })
	}
	h.sort()
}

// isSame reports whether a and b are the same hook. A hook that cannot be compared is the
// same as no other.
func isSame(a, b kvdb.Hook) bool { return reflect.ValueOf(a).Comparable() && a == b }

// sort makes the kinds anew. The caller holds mu.
func (h *Hooks) sort() {
	var k HookKinds
	for _, hook := range h.all {
		k.Operation = appendIf(k.Operation, hook)
		k.Request = appendIf(k.Request, hook)
		k.Connection = appendIf(k.Connection, hook)
		k.Watch = appendIf(k.Watch, hook)
		k.Delivery = appendIf(k.Delivery, hook)
		k.Lock = appendIf(k.Lock, hook)
	}
	h.kinds.Store(&k)
}

// appendIf appends hook if it implements H.
func appendIf[H any](to []H, hook kvdb.Hook) []H {
	if h, ok := hook.(H); ok {
		return append(to, h)
	}
	return to
}

// Remaining returns the hooks of began that are still in now. Both are the same field of
// HookKinds, at two times.
func Remaining[H kvdb.Hook](began, now []H) []H {
	if len(began) == 0 || len(now) > 0 && &began[0] == &now[0] {
		return began
	}
	isNow := func(h H) bool {
		return slices.ContainsFunc(now, func(other H) bool { return isSame(other, h) })
	}
	var remaining []H
	for _, h := range began {
		if isNow(h) {
			remaining = append(remaining, h)
		}
	}
	return remaining
}
