package servers

import (
	"errors"
	"os"
	"testing"
)

// Options of a cluster. The zero value is one plain member.
type Options struct {
	// Members is their number at the start; 0 means 1.
	Members int
	// TLS makes the members serve clients over TLS, with certificates of Cluster.CA. The
	// members talk to each other without TLS.
	TLS bool
	// ClientCertAuth refuses clients without a certificate of Cluster.CA. It
	// implies TLS.
	ClientCertAuth bool
	// ServerLeaf has the fields of the members' certificates. The zero value makes good
	// ones.
	ServerLeaf Leaf
	// ACL turns Consul's access control on. Calls that no token permits are denied.
	// Cluster.Token permits everything.
	ACL bool
	// Args are more arguments of the program: flags of etcd and Consul, options
	// of ZooKeeper's Java machine.
	Args []string
	// Config has more lines of configuration: in HCL for Consul, of zoo.cfg for ZooKeeper.
	// etcd has only Args.
	Config []string
}

// Kind is a kind of server.
type Kind struct {
	name   string
	driver driver
}

func (k Kind) String() string { return k.name }

// The kinds of servers.
var (
	EtcdKind      = Kind{"etcd", etcd{folder: "etcd", snapshots: true}}
	Etcd35Kind    = Kind{"etcd35", etcd{folder: "etcd35", flags: []string{"--enable-v2=true"}}}
	ConsulKind    = Kind{"consul", consul{}}
	ZooKeeperKind = Kind{"zookeeper", zookeeper{}}
)

// Etcd starts etcd 3.6 for a test and returns when it serves requests.
func Etcd(t testing.TB, o Options) *Cluster {
	t.Helper()
	return forTest(t, EtcdKind, o)
}

// Etcd35 starts etcd 3.5 for a test, with the v2 API on.
func Etcd35(t testing.TB, o Options) *Cluster {
	t.Helper()
	return forTest(t, Etcd35Kind, o)
}

// Consul starts Consul servers for a test.
func Consul(t testing.TB, o Options) *Cluster {
	t.Helper()
	return forTest(t, ConsulKind, o)
}

// ZooKeeper starts ZooKeeper servers for a test.
func ZooKeeper(t testing.TB, o Options) *Cluster {
	t.Helper()
	return forTest(t, ZooKeeperKind, o)
}

func forTest(t testing.TB, k Kind, o Options) *Cluster {
	t.Helper()
	c, err := New(k, t.TempDir(), o)
	var missing *MissingError
	if errors.As(err, &missing) && os.Getenv("CI") == "" {
		t.Skipf("NOT RUN: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, m := range c.All() {
				t.Logf("the end of %s's output:\n%s", m.Name(), m.Output())
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}
