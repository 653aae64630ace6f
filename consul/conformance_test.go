package consul_test

import (
	"flag"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/consul"
	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
)

var all = flag.Bool("kvdb.all", false, "run the suite in all variations, each bare and behind the log wrapper")

// traits are the documented properties of this backend.
var traits = test.Traits{
	TTLBound:           true,
	TTLUntold:          true,
	FoldedUpdates:      true,
	FoldedSlashes:      true,
	IllegalKeys:        []string{"./a", "a/..", "a/../b", "a/./b", "a\x00b", "a\xffb"},
	MinTTL:             20 * time.Second,
	MaxTTL:             172800 * time.Second,
	TTLSlack:           time.Second,
	MaxValue:           512 << 10,
	MaxTxOps:           128,
	NoPastDeletions:    true,
	LockSharesKey:      true,
	RestoredIndexGrows: true,
	NoCompact:          true,
	Members:            true,
	MembersJoin:        true,
	Endpoints:          true,
	NoLogin:            true,
}

func TestConformanceChild(t *testing.T) { test.Child(t, consul.New) }

// The suite passes on one server and on three, without security and with a token and
// certificates on both sides. Without -kvdb.all it runs only on one server without
// security and on three with it, and without wrappers.
func TestConformance(t *testing.T) {
	for _, v := range []struct {
		name    string
		options servers.Options
		always  bool
	}{
		{"Consul", servers.Options{}, true},
		{"Consul, ACL and TLS", servers.Options{ACL: true, ClientCertAuth: true}, false},
		{"Consul, three servers", servers.Options{Members: 3}, false},
		{"Consul, three servers, ACL and TLS", servers.Options{Members: 3, ACL: true, ClientCertAuth: true}, true},
	} {
		t.Run(v.name, func(t *testing.T) {
			if !v.always && !*all {
				t.Skip("only with -kvdb.all")
			}
			cluster := servers.Consul(t, v.options)
			h := test.Harness{
				Name: v.name, Init: consul.New, Endpoints: cluster.Endpoints(), Server: cluster.Server(), History: cluster.Server(),
				Options: map[string]string{}, Child: "TestConformanceChild", Traits: traits, Bare: !*all,
			}
			if v.options.ACL {
				h.Options[kvdb.ACLTokenKey] = cluster.Token
			}
			if v.options.ClientCertAuth {
				certFile, keyFile, err := cluster.CA.Issue("client", servers.Leaf{})
				require.NoError(t, err)
				maps.Copy(h.Options, map[string]string{
					kvdb.CAFileKey: cluster.CA.File, kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile,
				})
			}
			test.Conformance(t, h)
		})
	}
}
