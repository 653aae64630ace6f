package eventlog

import (
	"slices"
	"sync"
)

// registry finds the watches of a key. A change requires the log's mutex and then mu; a read
// requires either. So writers, which hold the log's mutex, do not wait for the dispatcher,
// which holds mu.
type registry struct {
	mu       sync.RWMutex
	keys     map[string]*group
	prefixes map[string]*group
	// lengths are the lengths of the keys of prefixes, sorted, each with the number of
	// groups that have it.
	lengths []length
}

type length struct{ bytes, groups int }

// group has the watches of one key or prefix.
type group struct {
	watches []*watch
	// batch has the events that deliver collects for them. Only the dispatcher uses it.
	batch []Event
}

func newRegistry() registry {
	return registry{keys: map[string]*group{}, prefixes: map[string]*group{}}
}

func (r *registry) groups(w *watch) map[string]*group {
	if w.request.Prefix {
		return r.prefixes
	}
	return r.keys
}

// add adds a watch. The caller holds the log's mutex.
func (r *registry) add(w *watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	groups, key := r.groups(w), w.request.Key
	g := groups[key]
	if g == nil {
		g = &group{}
		groups[key] = g
		if w.request.Prefix {
			r.count(len(key), 1)
		}
	}
	w.slot = len(g.watches)
	g.watches = append(g.watches, w)
}

// remove removes a watch if the registry has it. The caller holds the log's mutex.
func (r *registry) remove(w *watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	groups, key := r.groups(w), w.request.Key
	g := groups[key]
	if g == nil || w.slot >= len(g.watches) || g.watches[w.slot] != w {
		return
	}
	last := len(g.watches) - 1
	g.watches[w.slot] = g.watches[last]
	g.watches[w.slot].slot = w.slot
	g.watches[last] = nil
	if g.watches = g.watches[:last]; last > 0 {
		return
	}
	delete(groups, key)
	if w.request.Prefix {
		r.count(len(key), -1)
	}
}

// count adds n to the number of groups whose prefix has that length in bytes.
func (r *registry) count(bytes, n int) {
	i, known := slices.BinarySearchFunc(r.lengths, bytes, func(l length, b int) int { return l.bytes - b })
	if !known {
		r.lengths = slices.Insert(r.lengths, i, length{bytes: bytes})
	}
	if r.lengths[i].groups += n; r.lengths[i].groups == 0 {
		r.lengths = slices.Delete(r.lengths, i, i+1)
	}
}

// visit calls f with the groups that watch key, until f returns false. The caller holds one
// of the mutexes.
func (r *registry) visit(key string, f func(*group) bool) {
	if g := r.keys[key]; g != nil && !f(g) {
		return
	}
	for _, l := range r.lengths {
		if l.bytes > len(key) {
			return
		}
		if g := r.prefixes[key[:l.bytes]]; g != nil && !f(g) {
			return
		}
	}
}

// watched reports whether there is a watch of key. The caller holds the log's mutex.
func (r *registry) watched(key string) bool {
	found := false
	r.visit(key, func(*group) bool { found = true; return false })
	return found
}

// deliver hands the events to the watches of their keys. The watches of a group share the
// slice of their events.
func (r *registry) deliver(events []Event) {
	var touched []*group
	for part := range slices.Chunk(events, maxBatch) {
		touched = r.deliverBatch(part, touched[:0])
	}
}

// deliverBatch is deliver for at most maxBatch events. It reuses the memory of touched.
func (r *registry) deliverBatch(events []Event, touched []*group) []*group {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i := range events {
		r.visit(events[i].Key, func(g *group) bool {
			if len(g.batch) == 0 {
				touched = append(touched, g)
			}
			g.batch = append(g.batch, events[i])
			return true
		})
	}
	for _, g := range touched {
		for _, w := range g.watches {
			w.push(g.batch)
		}
		g.batch = nil
	}
	return touched
}
