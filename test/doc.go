// Package test is the conformance suite: one set of cases for every backend of
// kvdb, those of this module and those of others. A backend that passes it
// behaves as the documentation of kvdb says, in everything a program can see.
//
// A backend proves itself with one test:
//
//	func TestConformance(t *testing.T) {
//		test.Conformance(t, test.Harness{
//			Name: "my store",
//			Init: mystore.New,
//			Options: map[string]string{mystore.Path: filepath.Join(t.TempDir(), "data")},
//			Traits: test.Traits{NoTTL: true},
//		})
//	}
//
// Traits name the points where a store may differ. The zero value is the rule,
// without any exception; each field that is set is asserted, never taken as a
// reason to leave something out: the suite finds out by itself how the backend
// behaves, and fails when that is not what was declared. What a backend does
// not support must be exactly [kvdb.ErrNotSupported], or the error that is
// documented for it.
//
// A store need not have all of it: with Traits.NoLocks, NoWatches, NoSnapshots or
// NoTx the cases about that assert that its calls are kvdb.ErrNotSupported, and
// those that only use it to look at something else do without. When a backend is
// new, look at the case Traits/AsDeclared first, which names each field of Traits
// that has to be another:
//
//	go test -run 'TestConformance/bare/Traits' .
//
// What a harness does not have is not tested: without Server there are no outages,
// without History nothing goes back, without Child no process is killed. A case
// that is skipped says which field it needs, and so does a line at the beginning.
//
// All cases run twice: on the bare instance and behind the log wrapper. Each
// has a domain of its own, a random one. Most run beside each other, as many at
// a time as -parallel allows; those that would disturb others (they compact the
// history, or stop the server) run alone and first.
//
// With -kvdb.report=DIR each Conformance writes its Report to that folder, and
// Matrix makes the table of capabilities of them.
package test
