package etcdv3_test

import (
	"testing"
	"time"

	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
)

// traits are what is documented of this backend.
var traits = test.Traits{
	MinTTL:       5 * time.Second,
	TTLSlack:     3 * time.Second,
	ExpiryUntold: true,
	MaxValue:     1536<<10 - 4<<10,
	MaxTxOps:     128,
	Users:        true,
	Members:      true,
	Endpoints:    true,
	Defragment:   true,
}

func TestConformanceChild(t *testing.T) { test.Child(t, etcdv3.New) }

func TestConformance(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{})
	test.Conformance(t, test.Harness{
		Name: "etcd v3", Init: etcdv3.New, Endpoints: cluster.Endpoints(), Server: cluster.Server(),
		Child: "TestConformanceChild", Traits: traits,
	})
}
func TestConformance3(t *testing.T) {
	cluster := servers.Etcd(t, servers.Options{Members: 3})
	test.Conformance(t, test.Harness{
		Name: "etcd v3, 3 members", Init: etcdv3.New, Endpoints: cluster.Endpoints(), Server: cluster.Server(),
		Child: "TestConformanceChild", Traits: traits,
	})
}
