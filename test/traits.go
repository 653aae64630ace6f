package test

import "github.com/portworx/kvdb"

var traitGroup = group{name: "Traits", calls: "the exceptions are those declared", cases: []testCase{
	{name: "AsDeclared", run: traitsAsDeclared, alone: true},
	{name: "ReadConsistency", run: traitsReadConsistency},
}}

// The harness declares what the backend does, not less and not more.
func traitsAsDeclared(e *env) {
	declared := e.traits
	found := e.probe()
	// These are asserted elsewhere.
	found.History, found.TTLSlack, found.ExpiryUntold = declared.History, declared.TTLSlack, declared.ExpiryUntold
	found.CallTimeout, found.WatchTimeout = declared.CallTimeout, declared.WatchTimeout
	e.Equal(declared, found, "declared, and found by trying")
}

// The option is known everywhere, and a value that nobody knows is refused.
func traitsReadConsistency(e *env) {
	for _, mode := range []string{kvdb.ReadLinearizable, kvdb.ReadStale} {
		kv := e.openWith(e.domain+mode, map[string]string{kvdb.ReadConsistency: mode}, nil)
		_, err := kv.Put("key", "value", 0)
		e.NoError(err)
		e.eventually(func() bool { _, err := kv.Get("key"); return err == nil }, "the value is not read")
	}
	_, err := e.tryOpen(e.domain, map[string]string{kvdb.ReadConsistency: "eventual"}, nil)
	e.ErrorContains(err, kvdb.ReadConsistency)
	e.ErrorContains(err, "eventual")
}
