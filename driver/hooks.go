package driver

import (
	"maps"
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
	kinds atomic.Pointer[HookKinds]

	mu          sync.Mutex // protects the fields below, and makes changes of kinds exclude each other
	all         []kvdb.Hook
	connections map[*connection]struct{} // that exist
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

// Add adds hooks, except those that there are already. It tells those that observe
// connections which ones exist.
func (h *Hooks) Add(hooks ...kvdb.Hook) {
	added, existing := h.add(hooks)
	for _, hook := range those[kvdb.HookConnection](added) {
		for _, c := range existing {
			hook.OnConnectionMade(c.backend, c.endpoint)
		}
	}
}

// add adds hooks. It returns those that are new, and the connections that exist.
func (h *Hooks) add(hooks []kvdb.Hook) (added []kvdb.Hook, existing []*connection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, hook := range hooks {
		if !slices.ContainsFunc(h.all, func(other kvdb.Hook) bool { return isSame(other, hook) }) {
			h.all = append(h.all, hook)
			added = append(added, hook)
		}
	}
	h.sort()
	return added, slices.Collect(maps.Keys(h.connections))
}

// Remove removes hooks. Calls of them may still be running. It tells those that observe
// connections that the ones which exist are gone, so that what they count stays right.
func (h *Hooks) Remove(hooks ...kvdb.Hook) {
	removed, existing := h.remove(hooks)
	for _, hook := range those[kvdb.HookConnection](removed) {
		for _, c := range existing {
			hook.OnConnectionLost(c.backend, c.endpoint, nil)
		}
	}
}

// remove removes hooks. It returns those that there were, and the connections that exist.
func (h *Hooks) remove(hooks []kvdb.Hook) (removed []kvdb.Hook, existing []*connection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = slices.DeleteFunc(h.all, func(there kvdb.Hook) bool {
		gone := slices.ContainsFunc(hooks, func(hook kvdb.Hook) bool { return isSame(there, hook) })
		if gone {
			removed = append(removed, there)
		}
		return gone
	})
	h.sort()
	return removed, slices.Collect(maps.Keys(h.connections))
}

// isSame reports whether a and b are the same hook. A hook that cannot be compared is the
// same as no other.
func isSame(a, b kvdb.Hook) bool { return reflect.ValueOf(a).Comparable() && a == b }

// sort makes the kinds anew. The caller holds mu.
func (h *Hooks) sort() {
	h.kinds.Store(&HookKinds{
		Operation: those[kvdb.HookOperation](h.all), Request: those[kvdb.HookRequest](h.all),
		Connection: those[kvdb.HookConnection](h.all), Watch: those[kvdb.HookWatch](h.all),
		Delivery: those[kvdb.HookDelivery](h.all), Lock: those[kvdb.HookLock](h.all),
	})
}

// those returns the hooks that implement H.
func those[H any](hooks []kvdb.Hook) (some []H) {
	for _, hook := range hooks {
		if h, ok := hook.(H); ok {
			some = append(some, h)
		}
	}
	return some
}

// connection is a connection to a server.
type connection struct{ backend, endpoint string }

// Connected tells the hooks that the store backend has made a connection to endpoint,
// host:port. It returns a function that tells them that the connection has ended, and why,
// see kvdb.HookConnection. Later calls of that function do nothing.
func (h *Hooks) Connected(backend, endpoint string) (lost func(cause error)) {
	if h == nil {
		return func(error) {}
	}
	c := &connection{backend, endpoint}
	h.mu.Lock()
	if h.connections == nil {
		h.connections = map[*connection]struct{}{}
	}
	h.connections[c] = struct{}{}
	hooks := h.Kinds().Connection
	h.mu.Unlock()
	for _, hook := range hooks {
		hook.OnConnectionMade(backend, endpoint)
	}
	return func(cause error) { h.disconnected(c, cause) }
}

// disconnected tells the hooks that a connection has ended, unless they know.
func (h *Hooks) disconnected(c *connection, cause error) {
	h.mu.Lock()
	_, exists := h.connections[c]
	delete(h.connections, c)
	hooks := h.Kinds().Connection
	h.mu.Unlock()
	if !exists {
		return
	}
	for _, hook := range hooks {
		hook.OnConnectionLost(c.backend, c.endpoint, cause)
	}
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
