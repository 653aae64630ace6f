package consul_test

import (
	"testing"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul"
	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
)

// traits are what is documented of this backend.
var traits = test.Traits{
	FoldedUpdates:   true,
	FoldedSlashes:   true,
	IllegalKeys:     []string{"./a", "a/..", "a/../b", "a/./b", "a\x00b"},
	MinTTL:          20 * time.Second,
	MaxTTL:          172800 * time.Second,
	TTLSlack:        time.Second,
	ExpiryUntold:    true,
	MaxValue:        (512<<10 - 4<<10) / 4 * 3,
	MaxTxOps:        128,
	NoPastDeletions: true,
	LockSharesKey:   true,
	NoCompact:       true,
	Members:         true,
	MembersJoin:     true,
	Endpoints:       true,
	NoLogin:         true,
}

func TestConformanceChild(t *testing.T) { test.Child(t, consul.New) }

func harness(name string, cluster *servers.Cluster) test.Harness {
	return test.Harness{
		Name: name, Init: consul.New, Endpoints: cluster.Endpoints(), Server: cluster.Server(),
		Child: "TestConformanceChild", Traits: traits,
	}
}

func TestConformance(t *testing.T) {
	test.Conformance(t, harness("Consul", servers.Consul(t, servers.Options{})))
}

// Three servers, which let nobody in without a certificate and a token.
func TestConformance3(t *testing.T) {
	cluster := servers.Consul(t, servers.Options{Members: 3, ACL: true, ClientCertAuth: true})
	h := harness("Consul, 3 servers with ACL and TLS", cluster)
	certFile, keyFile, err := cluster.CA.Issue("client", servers.Leaf{})
	if err != nil {
		t.Fatal(err)
	}
	h.Options = map[string]string{
		kvdb.ACLTokenKey: cluster.Token, kvdb.CAFileKey: cluster.CA.File,
		kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile,
	}
	test.Conformance(t, h)
}
