package backend_test

import (
	"testing"

	"github.com/portworx/kvdb/examples/backend"
	"github.com/portworx/kvdb/test"
)

func TestConformance(t *testing.T) {
	test.Conformance(t, test.Harness{
		Name: backend.Name,
		Init: backend.New,
		// Traits declare what the store does not support, or does differently.
		Traits: test.Traits{PrivateStore: true, NoTTL: true, NoTTLOf: true, NoLocks: true, NoWatches: true, NoCompact: true},
	})
}
