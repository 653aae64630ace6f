// Package servers runs real servers for tests: etcd, Consul and ZooKeeper, one
// member or a cluster, on loopback, in a folder of their own.
//
//	func TestSomething(t *testing.T) {
//		cluster := servers.Etcd(t, servers.Options{Members: 3})
//		kv, err := etcdv3.New("", cluster.Endpoints(), nil, nil)
//		…
//		leader, err := cluster.Leader(t.Context())
//		require.NoError(t, err)
//		require.NoError(t, leader.Kill())
//	}
//
// Clients reach each member through a Link, and the members reach each other
// through one for each direction, so that a test can cut, freeze and delay what
// it likes. Member.Direct leads past the links.
//
// Cluster.Wipe, Backup and Restore take a store's history back, and GRPCProxy puts
// etcd's proxy in front of a cluster.
//
// The programs come from `make servers`. A test whose server is missing is
// skipped with a message that says so, and fails when the environment variable
// CI is set. KVDB_SERVERS names the folder they are in, when that is not
// .servers in this folder or one above.
//
// A server that a test started ends with the test, and when the test's process
// dies in whatever way.
//
// It works on Linux. Elsewhere it compiles.
package servers
