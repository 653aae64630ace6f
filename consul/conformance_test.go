package consul

import (
	"testing"
	"time"

	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
)

// traits are where Consul differs from the rule.
var traits = test.Traits{
	FoldedUpdates:   true,
	FoldedSlashes:   true,
	IllegalKeys:     []string{"./a", "a/..", "a/../b", "a/./b", "a\x00b"},
	MinTTL:          20 * time.Second,
	MaxTTL:          172800 * time.Second,
	TTLSlack:        time.Second,
	ExpiryUntold:    true,
	MaxValue:        maxValue,
	MaxTxOps:        128,
	NoPastDeletions: true,
	LockSharesKey:   true,
	NoCompact:       true,
	Members:         true,
	MembersJoin:     true,
	Endpoints:       true,
}

func TestConformance(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{})
	test.Conformance(t, test.Harness{
		Name:      "Consul",
		Init:      New,
		Endpoints: cluster.Endpoints(),
		Server:    cluster.Server(),
		Traits:    traits,
	})
}
