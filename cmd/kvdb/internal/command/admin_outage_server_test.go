package command

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
)

// A store that cannot be reached or has no quorum ends the command with 3, in time.
func TestServerAdminStopped(t *testing.T) {
	for scheme, start := range map[string]func(testing.TB, servers.Options) *servers.Cluster{
		"etcd": servers.Etcd, "etcd2": servers.Etcd35, "consul": servers.Consul, "zk": servers.ZooKeeper,
	} {
		t.Run(scheme, func(t *testing.T) {
			a := administersOn(t, start(t, servers.Options{}), scheme)
			a.use("")
			a.healthy()
			require.NoError(t, a.cluster.All()[0].Stop())
			for _, args := range []string{"status", "member rm m --yes", "status -o json"} {
				began := time.Now()
				a.fails(exitConnection, "", append(strings.Fields(args), "--timeout", "2s")...)
				require.Less(t, time.Since(began), 2*time.Second+patience/10, args)
			}
		})
	}
}

func TestServerAdminWithoutQuorum(t *testing.T) {
	a := administersOn(t, servers.Etcd(t, servers.Options{Members: 3}), "etcd")
	a.use("")
	a.state(kvdb.EtcdVersion3)
	leader, err := a.cluster.Leader(t.Context())
	require.NoError(t, err)
	followers := slices.DeleteFunc(a.cluster.All(), func(m *servers.Member) bool { return m == leader })
	require.NoError(t, followers[0].Kill())
	r := a.run("check", "-o", "raw")
	require.Equal(t, exitNo, r.code, r.stderr)
	require.Regexp(t, `^member `+followers[0].Name()+` [0-9a-f]+ is unhealthy\n$`, r.stdout)
	require.Contains(t, r.stderr, "kvdb: 1 problem in etcd://")
	require.NoError(t, leader.Kill())
	a.fails(exitConnection, "no leader", "status")
	a.fails(exitConnection, "no leader", "check")
}

// After compact, a watch cannot begin before the index. After defrag, the file is smaller.
func TestServerCompact(t *testing.T) {
	a := administersOn(t, servers.Etcd(t, servers.Options{}), "etcd")
	a.use("")
	var last record
	for i := range 50 {
		require.NoError(t, json.Unmarshal([]byte(a.in(strings.Repeat("x", 100<<10)).ok("put", "-o", "json", "-f", "-", "key")), &last), i)
	}
	index := strconv.FormatUint(last.Modified, 10)
	kv, err := kvdb.New(etcdv3.Name, "admin", a.cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	since := func(index uint64) error {
		events, err := kvdb.Events(t.Context(), kv, "key", index)
		require.NoError(t, err)
		for _, err = range events {
			break
		}
		return err
	}
	a.fails(exitUsage, "this would remove the history before index "+index+": add --yes", "compact", index)
	require.Contains(t, a.run("compact", "--dry-run", index).stderr, "would remove the history before index "+index+" in etcd:")
	require.NoError(t, since(1))
	a.ok("compact", "--yes", index)
	require.ErrorIs(t, since(1), kvdb.ErrWatchRevisionCompacted)
	require.NoError(t, since(last.Modified-1))
	a.ok("compact", "--yes", index)
	a.fails(exitUsage, "index 1000000: etcdserver: mvcc: required revision is a future revision", "compact", "--yes", "1000000")

	var done []struct {
		Before int64 `json:"size_before"`
		After  int64 `json:"size_after"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.ok("defrag", "-o", "json")), &done))
	require.Greater(t, done[0].Before, int64(4<<20))
	require.Less(t, done[0].After, int64(2<<20))
	a.fails(exitConnection, "try a longer --timeout", "defrag", "127.0.0.1:1", "--timeout", "1s")
}
