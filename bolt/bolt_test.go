package bolt

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		children[child]()
		return
	}
	goleak.VerifyTestMain(m)
}

// tempFile returns the path of a file that does not exist.
func tempFile(t testing.TB) string { return filepath.Join(t.TempDir(), "test.db") }

// newKvdb opens the file at path, with no domain.
func newKvdb(path string) (kvdb.Kvdb, error) {
	return kvdb.New(Name, "", nil, map[string]string{Path: path}, nil)
}

// openAt opens the file at path and closes it at the end of the test.
func openAt(t testing.TB, path string) kvdb.Kvdb {
	t.Helper()
	kv, err := newKvdb(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// closeKvdb closes kv. Closing it again at the end of the test has no effect.
func closeKvdb(t testing.TB, kv kvdb.Kvdb) {
	t.Helper()
	require.NoError(t, kvdb.Close(kv))
}

// openDatabase returns the database that the instances on the file at path share.
func openDatabase(t testing.TB, path string) *database {
	t.Helper()
	db, err := acquire(path, 100, false)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.shared.release()) })
	return db
}

// openRaw opens the file at path with bbolt. The caller must close it.
func openRaw(t testing.TB, path string) *bbolt.DB {
	t.Helper()
	raw, err := bbolt.Open(path, fileMode, &bbolt.Options{Timeout: openTimeout})
	require.NoError(t, err)
	return raw
}

// updateRaw changes the file at path, which no instance has open.
func updateRaw(t testing.TB, path string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	raw := openRaw(t, path)
	require.NoError(t, raw.Update(change))
	require.NoError(t, raw.Close())
}

// commits returns the number of transactions that were committed to the file.
func (db *database) commits(t testing.TB) (n int) {
	t.Helper()
	require.NoError(t, db.view(func(tx *bbolt.Tx) error {
		n = tx.ID()
		return nil
	}))
	return n
}

// within fails the test if f does not return in time.
func within(t testing.TB, limit time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		require.FailNow(t, "timeout", "did not return within %v", limit)
	}
}

// put writes to the store below the engine, with a TTL of any length.
func put(t testing.TB, s *store, key, value string, ttl time.Duration) driver.Indexes {
	t.Helper()
	indexes, err := s.Put(context.Background(), driver.Write{Key: key, Value: []byte(value), TTL: ttl})
	require.NoError(t, err)
	return indexes
}

// contents returns all pairs, by key.
func contents(t testing.TB, kv kvdb.Kvdb) map[string]string {
	t.Helper()
	encoded, err := kv.Serialize()
	require.NoError(t, err)
	pairs, err := kv.Deserialize(encoded)
	require.NoError(t, err)
	values := map[string]string{}
	for _, pair := range pairs {
		values[pair.Key] = string(pair.Value)
	}
	return values
}
