// Package test is the conformance suite: one set of cases for every backend of
// kvdb, of this module or of another one. A backend that passes behaves as the
// documentation of kvdb says, in everything that a program can see.
//
// A backend runs the suite with one test:
//
//	func TestConformance(t *testing.T) {
//		test.Conformance(t, test.Harness{
//			Name: "my store",
//			Init: mystore.New,
//			Options: map[string]string{mystore.Path: filepath.Join(t.TempDir(), "data")},
//			Traits: test.Traits{NoTTL: true, NoTTLOf: true},
//		})
//	}
//
// [Traits] are the points where a store may differ from the rules. The zero value
// means no difference. A field that is set is asserted too: the suite finds out by
// itself how the backend behaves, and fails if that differs from what is declared. A
// call that a backend does not support must return [kvdb.ErrNotSupported] itself, or
// the error that is documented for it.
//
// A store need not have everything. With Traits.NoLocks, NoWatches, NoSnapshots,
// NoTx, NoTTLOf, NoPageOptions or NoHooks the cases about these assert that the calls
// return kvdb.ErrNotSupported, and cases about other things do without them. For a new
// backend run the case Traits/AsDeclared first. It names each field of Traits that must be changed:
//
//	go test -run 'TestConformance/bare/Traits' .
//
// Some fields of [Harness] enable cases: Server those about outages, History those
// about a store that is restored to an earlier state, and Child those about a process
// that is killed. A log line at the start, and each case that is skipped, names the
// field that is missing.
//
// All cases run twice: on the bare instance and behind the log wrapper. Each case has
// a random domain of its own. Most cases run in parallel, as many at a time as
// -parallel allows. Cases that would disturb others, because they compact the history
// or stop the server, run alone and first.
//
// With -kvdb.report=DIR each Conformance writes its [Report] to that folder, from
// which [Matrix] makes the table of capabilities.
package test
