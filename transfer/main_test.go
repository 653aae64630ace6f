package transfer_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, backend, domain string, options map[string]string) kvdb.Kvdb {
	kv, err := kvdb.New(backend, domain, nil, options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

func openMem(t testing.TB) kvdb.Kvdb { return open(t, mem.Name, "domain", nil) }

func openBolt(t testing.TB) kvdb.Kvdb {
	return open(t, bolt.Name, "other", map[string]string{bolt.Path: filepath.Join(t.TempDir(), "test.db")})
}

func put(t testing.TB, kv kvdb.Kvdb, key, value string, ttl uint64) {
	t.Helper()
	_, err := kv.Put(key, value, ttl)
	require.NoError(t, err)
}

// fill writes n pairs below a directory, in one transaction.
func fill(t testing.TB, kv kvdb.Kvdb, dir string, n int) {
	t.Helper()
	tx, err := kv.TxNew()
	require.NoError(t, err)
	for i := range n {
		_, err := tx.Put(fmt.Sprintf("%s/%06d", dir, i), fmt.Sprintf("value %d", i), 0)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
}
