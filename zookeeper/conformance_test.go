package zookeeper_test

import (
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/test/servers"
	"github.com/portworx/kvdb/zookeeper"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var all = flag.Bool("kvdb.all", false, "run the suite in all variations, which takes long")

// traits are the documented properties of this backend, on one server.
var traits = test.Traits{
	NoTTLOf:         true,
	FoldedUpdates:   true,
	FoldedSlashes:   true,
	IllegalKeys:     []string{"./a", "a/..", "a/../b", "a/./b", "a\x00b", "a\xffb"},
	NoTTL:           true,
	NoEmptyValue:    true,
	MaxValue:        1<<20 - 32<<10,
	NoPastDeletions: true,
	NoCompact:       true,
	Endpoints:       true,
}

func TestConformanceChild(t *testing.T) { test.Child(t, zookeeper.New) }

// The suite passes on one server and on three, without and with a login, and over
// TLS. Without -kvdb.all it runs only on one server without a login and on three
// with one, and without wrappers.
func TestConformance(t *testing.T) {
	for _, v := range []struct {
		name    string
		options servers.Options
		login   string // user:password
		always  bool
	}{
		{"ZooKeeper", servers.Options{}, "", true},
		{"ZooKeeper, login", servers.Options{}, "user:secret", false},
		{"ZooKeeper, TLS and login", servers.Options{TLS: true}, "user:secret", false},
		{"ZooKeeper, three servers", servers.Options{Members: 3}, "", false},
		{"ZooKeeper, three servers, login", servers.Options{Members: 3}, "user:secret", true},
	} {
		t.Run(v.name, func(t *testing.T) {
			if !v.always && !*all {
				t.Skip("only with -kvdb.all")
			}
			cluster := servers.ZooKeeper(t, v.options)
			h := test.Harness{
				Name: v.name, Init: zookeeper.New, Endpoints: cluster.Endpoints(), Options: map[string]string{},
				Server: cluster.Server(), History: cluster, Child: "TestConformanceChild", Traits: traits, Bare: !*all,
			}
			if cluster.CA != nil {
				h.Options[kvdb.TrustedCAFileKey] = cluster.CA.File
			}
			acl := zk.WorldACL(zk.PermAll)
			if v.login != "" {
				user, password, _ := strings.Cut(v.login, ":")
				h.Options[kvdb.UsernameKey], h.Options[kvdb.PasswordKey] = user, password
				acl = append(zk.DigestACL(zk.PermAll, user, password), zk.WorldACL(zk.PermRead)...)
			}
			if v.options.Members > 1 {
				h.Traits.Members = true
				allow := func() { allowReconfiguration(t, cluster, acl) }
				allow()
				h.History = history{cluster, allow}
			}
			test.Conformance(t, h)
		})
	}
}

// history calls prepare after each wipe, because a wiped store has lost what
// prepare did before.
type history struct {
	*servers.Cluster
	prepare func()
}

func (h history) Wipe(meanwhile func(endpoints []string) error) error {
	if err := h.Cluster.Wipe(meanwhile); err != nil {
		return err
	}
	h.prepare()
	return nil
}

// allowReconfiguration lets users other than the super user change the members.
func allowReconfiguration(t *testing.T, cluster *servers.Cluster, acl []zk.ACL) {
	t.Helper()
	conn, events, err := zk.Connect(cluster.Endpoints(), 10*time.Second, zk.WithLogInfo(false))
	require.NoError(t, err)
	defer func() {
		conn.Close()
		for range events {
		}
	}()
	require.NoError(t, conn.AddAuth("digest", []byte(servers.SuperUser)))
	_, err = conn.SetACL("/zookeeper/config", acl, -1)
	require.NoError(t, err)
}
