// Package servers runs real servers for tests: etcd, Consul and ZooKeeper, with one or
// several members, on loopback, in temporary folders.
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
// Clients reach each member through a Link, and the members reach each other through one
// Link for each direction. So a test can cut, freeze and delay any connection. The address
// Member.Direct bypasses the links.
//
// Cluster.Wipe, Backup and Restore take the history of a store back. GRPCProxy puts etcd's
// proxy in front of a cluster.
//
// `make servers` builds the programs. If a program is missing, its tests are skipped with a
// message, or fail if the environment variable CI is set. KVDB_SERVERS names the folder of
// the programs. The default is .servers in the current folder or the nearest one above.
//
// A server that a test started ends with the test, and also when the test's process dies.
//
// The package works on Linux. On other systems it only compiles.
package servers
