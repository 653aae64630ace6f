package test

import (
	"context"
	"iter"
	"time"

	"github.com/portworx/kvdb"
)

// part is a set of calls that a store may lack as a whole. A field of Traits
// declares that, and then each of the calls must be exactly kvdb.ErrNotSupported.
type part struct {
	name, trait string
	// missing is the field of that trait.
	missing func(t *Traits) *bool
	// calls returns all calls of the part, on the case's instance. probe is the name of
	// the one that shows whether the store has the part.
	calls func(e *env) map[string]func() error
	probe string
}

var (
	lockPart     = &part{"locks", "NoLocks", func(t *Traits) *bool { return &t.NoLocks }, lockCalls, "IsKeyLocked"}
	watchPart    = &part{"watches", "NoWatches", func(t *Traits) *bool { return &t.NoWatches }, watchCalls, "WatchKey"}
	snapshotPart = &part{"snapshots", "NoSnapshots", func(t *Traits) *bool { return &t.NoSnapshots }, snapshotCalls, "Snapshot"}
	ttlPart      = &part{"remaining TTLs", "NoTTLOf", func(t *Traits) *bool { return &t.NoTTLOf }, ttlCalls, "kvdb.TTLOf"}
	pagePart     = &part{"options of pages", "NoPageOptions", func(t *Traits) *bool { return &t.NoPageOptions }, pageCalls, "kvdb.PairsWith, Hidden"}
	hookPart     = &part{"hooks", "NoHooks", func(t *Traits) *bool { return &t.NoHooks }, hookCalls, "kvdb.AddHooks"}
	txPart       = &part{"transactions", "NoTx", func(t *Traits) *bool { return &t.NoTx }, txCalls, "TxNew"}
	// txDeletePart is a part of txPart: a store without that does not lack it.
	txDeletePart = &part{"deletions in transactions", "NoTxDelete", func(t *Traits) *bool { return &t.NoTxDelete }, txDeleteCalls, "kvdb.TxDelete"}
)

var allParts = []*part{lockPart, watchPart, snapshotPart, txPart, txDeletePart, ttlPart, pagePart, hookPart}

func lockCalls(e *env) map[string]func() error {
	pair := &kvdb.KVPair{Key: "part/lock"}
	calls := map[string]func() error{
		"Lock":            func() error { _, err := e.kv.Lock(pair.Key); return err },
		"LockWithID":      func() error { _, err := e.kv.LockWithID(pair.Key, "me"); return err },
		"LockWithTimeout": func() error { _, err := e.kv.LockWithTimeout(pair.Key, "me", time.Second, 0); return err },
		"IsKeyLocked":     func() error { _, _, err := e.kv.IsKeyLocked(pair.Key); return err },
		"Unlock":          func() error { return e.kv.Unlock(pair) },
	}
	if !e.traits.NoTx {
		calls["kvdb.TxGuard"] = func() error { return kvdb.TxGuard(e.tx(), pair) }
	}
	return calls
}

func watchCalls(e *env) map[string]func() error {
	stop := func(string, interface{}, *kvdb.KVPair, error) error { return errEnough }
	return map[string]func() error{
		"WatchKey":  func() error { return e.kv.WatchKey("part/watch", 0, nil, stop) },
		"WatchTree": func() error { return e.kv.WatchTree("part/", 0, nil, stop) },
		"kvdb.Events": func() error {
			ctx, cancel := context.WithCancel(e.t.Context())
			defer cancel()
			_, err := kvdb.Events(ctx, e.kv, "part/", 0)
			return err
		},
		"kvdb.NewUpdatesCollector": func() error {
			collector, err := kvdb.NewUpdatesCollector(e.kv, "part/", 0)
			if err == nil {
				collector.Stop()
			}
			return err
		},
	}
}

func snapshotCalls(e *env) map[string]func() error {
	take := func(prefixes []string, consistent bool) func() error {
		return func() error {
			snapshot, _, err := e.kv.Snapshot(prefixes, consistent)
			if err == nil {
				err = kvdb.Close(snapshot)
			}
			return err
		}
	}
	return map[string]func() error{
		"Snapshot": take(nil, false), "Snapshot of prefixes": take([]string{"part/"}, false),
		"consistent Snapshot": take(nil, true),
		"SnapPut": func() error {
			_, err := e.kv.SnapPut(&kvdb.KVPair{Key: "part/key", Value: []byte("value")})
			return err
		},
	}
}

func txCalls(e *env) map[string]func() error {
	return map[string]func() error{"TxNew": func() error { _, err := e.kv.TxNew(); return err }}
}

func txDeleteCalls(e *env) map[string]func() error {
	return map[string]func() error{"kvdb.TxDelete": func() error {
		if e.traits.NoTx {
			return nil
		}
		return kvdb.TxDelete(e.tx(), "part/key")
	}}
}

func ttlCalls(e *env) map[string]func() error {
	return map[string]func() error{"kvdb.TTLOf": func() error { _, _, err := kvdb.TTLOf(e.kv, "part/key"); return err }}
}

func pageCalls(e *env) map[string]func() error {
	return map[string]func() error{
		"kvdb.PairsWith, Hidden": func() error { return errorOf(kvdb.PairsWith(e.kv, "part/", kvdb.PageOptions{Hidden: true})) },
		"kvdb.PairsWith, TTL":    func() error { return errorOf(kvdb.PairsWith(e.kv, "part/", kvdb.PageOptions{TTL: true})) },
	}
}

func hookCalls(e *env) map[string]func() error {
	return map[string]func() error{"kvdb.AddHooks": func() error {
		h := &hook{e: e, told: make(chan struct{}, 1)}
		defer kvdb.RemoveHooks(e.kv, h)
		return kvdb.AddHooks(e.kv, h)
	}}
}

// errorOf returns the error that the iteration ends with.
func errorOf(pairs iter.Seq2[*kvdb.KVPair, error]) error {
	for _, err := range pairs {
		if err != nil {
			return err
		}
	}
	return nil
}

// lacks reports whether the store is declared to lack the part.
func (e *env) lacks(p *part) bool { return *p.missing(&e.traits) }

// refused asserts the error of a call of a part that the store is declared to lack. Unlock
// and TxGuard may also return ErrInvalidLock, because no pair is that of a lock.
func (e *env) refused(p *part, call string, err error) {
	e.t.Helper()
	if err == kvdb.ErrInvalidLock && (call == "Unlock" || call == "kvdb.TxGuard") {
		return
	}
	e.True(err == kvdb.ErrNotSupported,
		"%s returned %v. Traits.%s says that the store has no %s, so each of their calls must return kvdb.ErrNotSupported itself. If the store has them, do not declare it",
		call, err, p.trait, p.name)
}

// refuses asserts that all calls of a part are refused.
func (e *env) refuses(p *part) {
	e.t.Helper()
	for call, f := range p.calls(e) {
		e.refused(p, call, f())
	}
}

// unsupportedParts asserts that the store refuses those parts of needs that it
// lacks, and reports whether there are any.
func (e *env) unsupportedParts(needs []*part) bool {
	for _, p := range needs {
		if e.lacks(p) {
			e.unsupported = true
			e.refuses(p)
		}
	}
	return e.unsupported
}

// probeParts finds out which parts the store lacks. The rest of the probe does not use
// them.
func (e *env) probeParts(t *Traits) {
	for _, p := range allParts {
		*p.missing(t) = p.calls(e)[p.probe]() == kvdb.ErrNotSupported
		*p.missing(&e.traits) = *p.missing(t)
	}
}

// supported removes from all the calls of parts that the store lacks, because they return
// ErrNotSupported in every state of the instance.
func (e *env) supported(all map[string]func() error) map[string]func() error {
	for _, p := range allParts {
		if e.lacks(p) {
			for call := range p.calls(e) {
				delete(all, call)
			}
		}
	}
	return all
}
