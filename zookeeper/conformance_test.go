package zookeeper_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/zookeeper"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// traits are what is documented of this backend, on one server.
var traits = test.Traits{
	FoldedUpdates:   true,
	FoldedSlashes:   true,
	IllegalKeys:     []string{"./a", "a/..", "a/../b", "a/./b", "a\x00b"},
	NoTTL:           true,
	NoEmptyValue:    true,
	MaxValue:        1<<20 - 32<<10,
	NoPastDeletions: true,
	NoCompact:       true,
	Endpoints:       true,
}

func TestConformanceChild(t *testing.T) { test.Child(t, zookeeper.New) }

func TestConformance(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{})
	test.Conformance(t, test.Harness{
		Name: "ZooKeeper", Init: zookeeper.New, Endpoints: cluster.Endpoints(), Server: cluster.Server(),
		Child: "TestConformanceChild", Traits: traits,
	})
}

// login returns options that authenticate as somebody.
func login(credentials string) map[string]string {
	user, password, _ := strings.Cut(credentials, ":")
	return map[string]string{kvdb.UsernameKey: user, kvdb.PasswordKey: password}
}

// Three servers, with digest authentication as who may change the ensemble.
func TestConformanceEnsemble(t *testing.T) {
	cluster := servers.ZooKeeper(t, servers.Options{Members: 3})
	ensemble := traits
	ensemble.Members = true
	test.Conformance(t, test.Harness{
		Name: "ZooKeeper ensemble", Init: zookeeper.New, Endpoints: cluster.Endpoints(), Server: cluster.Server(),
		Options: login(servers.SuperUser), Child: "TestConformanceChild", Traits: ensemble,
	})
}
