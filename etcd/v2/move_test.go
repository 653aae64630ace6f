package etcdv2_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/test/servers"
)

// move copies the tree of a domain, as the README shows.
func move(from, to kvdb.Kvdb) error {
	for pair, err := range kvdb.Pairs(from, "") {
		if err != nil {
			return err
		}
		if _, err := to.Create(pair.Key, pair.Value, 0); err != nil {
			return err
		}
	}
	return nil
}

// A tree moves from the v2 to the v3 API of one cluster, which keeps both apart.
func TestMoveToV3(t *testing.T) {
	cluster := servers.Etcd35(t, servers.Options{})
	from, err := kvdb.New(etcdv2.Name, "app", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(from)) })
	to, err := kvdb.New(etcdv3.Name, "app", cluster.Endpoints(), nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(to)) })
	values := map[string]string{"a": "text", "dir/b": "", "dir/c/d": "\xff\x00"}
	for key, value := range values {
		_, err := from.Put(key, []byte(value), 0)
		require.NoError(t, err)
	}
	require.NoError(t, move(from, to))
	for key, value := range values {
		pair, err := to.Get(key)
		require.NoError(t, err)
		require.Equal(t, value, string(pair.Value))
	}
	require.ErrorIs(t, move(from, to), kvdb.ErrExist, "nothing is overwritten")
}
