package etcdv3_test

import (
	"context"
	"crypto/tls"
	"flag"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/etcd/common"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
)

var all = flag.Bool("kvdb.all", false, "run the suite in all variations, behind the log wrapper too; with -kvdb.outages it takes three quarters of an hour")

// traits are the documented exceptions of this backend.
var traits = test.Traits{
	TTLUntold:     true,
	MinTTL:        5 * time.Second,
	TTLSlack:      3 * time.Second,
	MaxValue:      1536 << 10,
	MaxTxOps:      128,
	ServerTxLimit: true,
	Users:         true,
	Members:       true,
	Endpoints:     true,
	Defragment:    true,
}

func TestConformanceChild(t *testing.T) { test.Child(t, etcdv3.New) }

// The suite passes on one member and on three, without TLS, with TLS, and with TLS
// and a user. Without -kvdb.all it runs on the first and the last of these, and
// without wrappers.
func TestConformance(t *testing.T) {
	for _, v := range []struct {
		name    string
		options servers.Options
		user    bool
		always  bool
	}{
		{"etcd v3", servers.Options{}, false, true},
		{"etcd v3, three members", servers.Options{Members: 3}, false, false},
		{"etcd v3, TLS", servers.Options{ClientCertAuth: true}, false, false},
		{"etcd v3, TLS and a user", servers.Options{TLS: true}, true, false},
		{"etcd v3, three members, TLS", servers.Options{Members: 3, ClientCertAuth: true}, false, false},
		{"etcd v3, three members, TLS and a user", servers.Options{Members: 3, TLS: true}, true, true},
	} {
		t.Run(v.name, func(t *testing.T) {
			if !v.always && !*all {
				t.Skip("only with -kvdb.all")
			}
			v.options.Args = []string{"--bcrypt-cost=4"}
			cluster := servers.Etcd(t, v.options)
			h := test.Harness{
				Name: v.name, Init: etcdv3.New, Endpoints: cluster.Endpoints(), Options: map[string]string{},
				Child: "TestConformanceChild", Traits: traits, Bare: !*all,
			}
			if *all {
				h.Server = cluster.Server()
				if !v.user { // there are none in a wiped store
					h.History = cluster.Server()
				}
			}
			if v.options.ClientCertAuth {
				certFile, keyFile, err := cluster.CA.Issue("client", servers.Leaf{CommonName: "client"})
				require.NoError(t, err)
				maps.Copy(h.Options, map[string]string{kvdb.CertFileKey: certFile, kvdb.CertKeyFileKey: keyFile})
			}
			if cluster.CA != nil {
				h.Options[kvdb.TrustedCAFileKey] = cluster.CA.File
			}
			if v.user {
				maps.Copy(h.Options, enableUsers(t, cluster, h.Options))
			}
			test.Conformance(t, h)
		})
	}
}

// enableUsers turns authentication on, and returns the options of a user who may do
// everything.
func enableUsers(t *testing.T, cluster *servers.Cluster, options map[string]string) map[string]string {
	t.Helper()
	kv, err := etcdv3.New("", cluster.Endpoints(), options, nil)
	require.NoError(t, err)
	require.NoError(t, kv.AddUser("root", "secret"))
	require.NoError(t, kvdb.Close(kv))
	client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), TLS: tlsConfig(t, options), Logger: zap.NewNop()})
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = client.AuthEnable(ctx)
	require.NoError(t, err)
	return map[string]string{kvdb.UsernameKey: "root", kvdb.PasswordKey: "secret"}
}

func tlsConfig(t *testing.T, options map[string]string) *tls.Config {
	t.Helper()
	config, _, _, err := common.TLS(options, true)
	require.NoError(t, err)
	return config
}
