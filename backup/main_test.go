package backup

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/mem"
)

// childEnv is the environment variable that names the function in children that a child
// process runs. A test starts its own binary as a child.
const childEnv = "KVDB_BACKUP_TEST_CHILD"

var children = map[string]func(){
	"create":  createWithLimit,
	"restore": restoreUntilKilled,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		children[name]()
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, backend, domain string, options map[string]string) kvdb.Kvdb {
	t.Helper()
	kv, err := kvdb.New(backend, domain, nil, options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

func openMem(t testing.TB) kvdb.Kvdb { return open(t, mem.Name, "some/domain", nil) }

func openBolt(t testing.TB) kvdb.Kvdb { return openBoltAt(t, filepath.Join(t.TempDir(), "test.db")) }

func openBoltAt(t testing.TB, path string) kvdb.Kvdb {
	return open(t, bolt.Name, "other", map[string]string{bolt.Path: path})
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

// backUp returns a backup of kv, which Verify and Inspect accept.
func backUp(t testing.TB, kv kvdb.Kvdb, o Options) ([]byte, Info) {
	t.Helper()
	var b bytes.Buffer
	written, err := Write(t.Context(), &b, kv, o)
	require.NoError(t, err)
	for _, read := range []func([]byte) (Info, error){
		func(b []byte) (Info, error) { return Verify(bytes.NewReader(b)) },
		func(b []byte) (Info, error) { return Inspect(bytes.NewReader(b)) },
	} {
		info, err := read(b.Bytes())
		require.NoError(t, err)
		require.Equal(t, written, info)
	}
	return b.Bytes(), written
}

// pairsIn returns the pairs of a backup.
func pairsIn(t testing.TB, backup []byte) []kvdb.KVPair {
	t.Helper()
	found := []kvdb.KVPair{}
	for pair, err := range Pairs(bytes.NewReader(backup)) {
		require.NoError(t, err)
		found = append(found, *pair)
	}
	return found
}

func keysIn(t testing.TB, backup []byte) []string {
	t.Helper()
	keys := []string{}
	for _, pair := range pairsIn(t, backup) {
		keys = append(keys, pair.Key)
	}
	return keys
}
