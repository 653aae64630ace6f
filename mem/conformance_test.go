package mem_test

import (
	"testing"
	"time"

	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/test"
)

// traits are the documented traits of this backend.
var traits = test.Traits{
	PrivateStore:       true,
	ExistingPair:       true,
	MaxTTL:             100 * 365 * 24 * time.Hour,
	HistoryFirst:       true,
	History:            16384,
	DeletedValue:       true,
	ChangedKeyAsPrefix: true,
}

func TestConformance(t *testing.T) {
	test.Conformance(t, test.Harness{Name: "mem", Init: mem.New, Traits: traits})
}

func TestConformanceWithObjects(t *testing.T) {
	withObjects := traits
	withObjects.Objects = true
	withObjects.History = 2000
	test.Conformance(t, test.Harness{
		Name: "mem, KvUseInterface", Init: mem.New, Traits: withObjects,
		Options: map[string]string{mem.KvUseInterface: "true", mem.KvHistory: "2000"},
	})
}
