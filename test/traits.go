package test

var traitGroup = group{name: "Traits", cases: []testCase{
	{name: "AsDeclared", run: traitsAsDeclared, alone: true},
}}

// The harness declares what the backend does, not less and not more.
func traitsAsDeclared(e *env) {
	declared := e.traits
	found := e.probe()
	// These are asserted elsewhere.
	found.History, found.TTLSlack, found.ExpiryTold = declared.History, declared.TTLSlack, declared.ExpiryTold
	found.ExpiryUntold = declared.ExpiryUntold
	found.RestoredIndexGrows = declared.RestoredIndexGrows
	found.CallTimeout, found.WatchTimeout = declared.CallTimeout, declared.WatchTimeout
	e.Equal(declared, found, "declared, and found by trying")
}
