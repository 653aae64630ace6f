package etcdv2

import (
	"flag"
	"testing"
	"time"

	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
)

var all = flag.Bool("kvdb.all", false, "run the suite in all variations, each bare and behind the log wrapper")

// traits are the documented properties of this backend.
var traits = test.Traits{
	FoldedSlashes: true, Directories: true, HiddenUnlisted: true, NoLearners: true,
	IllegalKeys: []string{"./a", "a/..", "a/../b", "a/./b", "a\xffb"},
	TTLSlack:    2 * time.Second,
	ExpiryTold:  true,
	MaxTTL:      100 * 365 * 24 * time.Hour,
	SingleKeyTx: true,
	History:     1000,
	NoCompact:   true,
	Users:       true,
	Members:     true,
	Endpoints:   true,
}

func TestConformanceChild(t *testing.T) { test.Child(t, New) }

// The suite passes on one member and on three, without security, and with TLS and a
// user. Without -kvdb.all it runs only on the first and the last of these, and
// without wrappers.
func TestConformance(t *testing.T) {
	for _, v := range []struct {
		name    string
		members int
		users   bool
		always  bool
	}{
		{"etcd v2", 1, false, true},
		{"etcd v2, TLS and a user", 1, true, false},
		{"etcd v2, three members", 3, false, false},
		{"etcd v2, three members, TLS and a user", 3, true, true},
	} {
		t.Run(v.name, func(t *testing.T) {
			if !v.always && !*all {
				t.Skip("only with -kvdb.all")
			}
			h := test.Harness{
				Name: v.name, Init: New, Child: "TestConformanceChild", Traits: traits,
				Bare: !*all,
			}
			var cluster *servers.Cluster
			if v.users {
				cluster, h.Options = withUsers(t, v.members)
			} else {
				cluster = servers.Etcd35(t, servers.Options{Members: v.members})
			}
			h.Endpoints, h.Server = cluster.Endpoints(), cluster.Server()
			if !v.users { // a store that was wiped has no users
				h.History = cluster.Server()
			}
			test.Conformance(t, h)
		})
	}
}
