package etcdv2_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
)

// move copies the tree of a domain, as docs/coming-from.md shows.
func move(from, to kvdb.Kvdb) error {
	for pair, err := range kvdb.Pairs(from, "") {
		if err != nil {
			return err
		}
		ttl := uint64(pair.TTL)
		if ttl > 0 {
			ttl = max(ttl, 5) // the shortest TTL of etcd v3
		}
		if _, err := to.Create(pair.Key, pair.Value, ttl); err != nil {
			return err
		}
	}
	return nil
}

func TestPageShowsMove(t *testing.T) {
	page, err := os.ReadFile("../../docs/coming-from.md")
	require.NoError(t, err)
	source, err := os.ReadFile("move_test.go")
	require.NoError(t, err)
	_, code, _ := strings.Cut(string(source), "\nfunc move(")
	code, _, _ = strings.Cut(code, "\n}\n")
	require.Contains(t, string(page), "\nfunc move("+code+"\n}\n")
}

// A tree moves from the v2 API to the v3 API of the same cluster, which keeps the two
// apart, and to that of another cluster.
func TestMoveToV3(t *testing.T) {
	t.Parallel()
	old := servers.Etcd35(t, servers.Options{})
	for name, cluster := range map[string]*servers.Cluster{"the same": old, "another": servers.Etcd(t, servers.Options{})} {
		t.Run(name, func(t *testing.T) { moveToV3(t, old.Endpoints(), cluster.Endpoints()) })
	}
}

func moveToV3(t *testing.T, old, current []string) {
	from, err := kvdb.New(etcdv2.Name, "app", old, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(from)) })
	to, err := kvdb.New(etcdv3.Name, "app", current, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(to)) })
	values := map[string]string{"a": "text", "dir/b": "", "dir/c/d": "\xff\x00"}
	for key, value := range values {
		_, err := from.Put(key, []byte(value), 0)
		require.NoError(t, err)
	}
	for key, ttl := range map[string]uint64{"dir/long": 1000, "dir/short": 4} {
		_, err := from.Put(key, "value", ttl)
		require.NoError(t, err)
	}
	require.NoError(t, move(from, to))
	for key, value := range values {
		pair, err := to.Get(key)
		require.NoError(t, err)
		require.Equal(t, value, string(pair.Value))
	}
	for key, ttl := range map[string]time.Duration{"dir/long": 1000 * time.Second, "dir/short": 5 * time.Second} {
		remaining, has, err := kvdb.TTLOf(to, key)
		require.NoError(t, err)
		require.True(t, has, "%s still expires", key)
		require.LessOrEqual(t, remaining, ttl)
	}
	require.ErrorIs(t, move(from, to), kvdb.ErrExist, "nothing is overwritten")
}
