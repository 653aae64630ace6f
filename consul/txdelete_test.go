package consul

import (
	"net/http"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

// Others change a key after a transaction that deletes it has looked at it, and before it is
// written.
func TestTxDeleteWhileOthersWrite(t *testing.T) {
	t.Parallel()
	member := servers.Consul(t, servers.Options{}).All()[0]
	o := observe(t, member.Endpoint())
	kv, client := open(t, "tx", []string{o.URL}, nil), raw(t, member)
	remove := func() error { _, err := client.KV().Delete("tx/key", nil); return err }
	create := func() error {
		_, err := client.KV().Put(&api.KVPair{Key: "tx/key", Value: []byte("others")}, nil)
		return err
	}
	for name, c := range map[string]struct {
		exists, read bool
		change       func() error
		want         error
		remains      bool
	}{
		"created":        {false, false, create, nil, false},
		"changed":        {true, false, create, nil, false},
		"removed":        {true, false, remove, nil, false},
		"read, created":  {false, true, create, kvdb.ErrModified, true},
		"read, changed":  {true, true, create, kvdb.ErrModified, true},
		"read, removed":  {true, true, remove, kvdb.ErrModified, false},
		"read, the same": {true, true, func() error { return nil }, nil, false},
	} {
		require.NoError(t, kv.DeleteTree(""))
		if c.exists {
			_, err := kv.Put("key", "value", 0)
			require.NoError(t, err)
		}
		tx, err := kv.TxNew()
		require.NoError(t, err)
		if c.read {
			_, err := tx.Get("key")
			require.Equal(t, c.exists, err == nil)
		}
		require.NoError(t, kvdb.TxDelete(tx, "key"))
		requests := 0
		o.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/txn" {
				return false
			}
			if requests++; requests == 2 { // the first only reads
				if err := c.change(); err != nil {
					t.Error(err)
				}
			}
			return false
		})
		err = tx.Commit()
		o.intercept(nil)
		require.Equal(t, c.want, err, name)
		require.GreaterOrEqual(t, requests, 2, name)
		found, _, err := client.KV().Get("tx/key", nil)
		require.NoError(t, err)
		require.Equal(t, c.remains, found != nil, name)
	}
}
