package etcdv2_test

import (
	"testing"
	"time"

	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
)

// traits are what is documented of this backend.
var traits = test.Traits{
	FoldedSlashes: true, Directories: true, HiddenUnlisted: true, NoLearners: true,
	IllegalKeys: []string{"./a", "a/..", "a/../b", "a/./b"},
	TTLSlack:    2 * time.Second,
	MaxValue:    1536<<10 - 4<<10,
	SingleKeyTx: true,
	History:     1000,
	NoCompact:   true,
	Users:       true,
	Members:     true,
	Endpoints:   true,
}

func TestConformanceChild(t *testing.T) { test.Child(t, etcdv2.New) }

func TestConformance(t *testing.T) {
	cluster := servers.Etcd35(t, servers.Options{})
	test.Conformance(t, test.Harness{
		Name: "etcd v2", Init: etcdv2.New, Endpoints: cluster.Endpoints(), Server: cluster.Server(),
		Child: "TestConformanceChild", Traits: traits,
	})
}

func TestConformance3(t *testing.T) {
	cluster := servers.Etcd35(t, servers.Options{Members: 3})
	test.Conformance(t, test.Harness{
		Name: "etcd v2, 3 members", Init: etcdv2.New, Endpoints: cluster.Endpoints(), Server: cluster.Server(),
		Child: "TestConformanceChild", Traits: traits,
	})
}
