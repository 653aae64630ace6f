package bolt_test

import (
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/test"
)

// The log wrapper is the same for every store, and the tests of mem run every case with it,
// so here it is optional.
var all = flag.Bool("kvdb.all", false, "run the suite behind the log wrapper too")

func TestConformance(t *testing.T) {
	test.Conformance(t, test.Harness{
		Name:    "bolt",
		Init:    bolt.New,
		Options: map[string]string{bolt.Path: filepath.Join(t.TempDir(), "test.db")},
		Child:   "TestConformanceChild",
		Bare:    !*all,
		Traits: test.Traits{
			ExistingPair:       true,
			MaxTTL:             100 * 365 * 24 * time.Hour,
			HistoryFirst:       true,
			History:            16384,
			VolatileHistory:    true,
			DeletedValue:       true,
			ChangedKeyAsPrefix: true,
			Defragment:         true,
		},
	})
}

func TestConformanceChild(t *testing.T) { test.Child(t, bolt.New) }
