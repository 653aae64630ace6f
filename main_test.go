package kvdb_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newMem returns a store in memory. It is closed at the end of the test.
func newMem(t testing.TB, options map[string]string) kvdb.Kvdb {
	kv, err := kvdb.New(mem.Name, "domain", nil, options, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kvdb.Close(kv)) })
	return kv
}

// put writes keys, in order, each with itself as the value.
func put(t testing.TB, kv kvdb.Kvdb, keys ...string) {
	for _, key := range keys {
		_, err := kv.Put(key, key, 0)
		require.NoError(t, err)
	}
}

var names atomic.Int64

// unusedName returns a name that is not registered, even if the tests run several times in
// one process.
func unusedName() string { return fmt.Sprint("test-", names.Add(1)) }

// bare is an implementation of Kvdb without the optional interfaces, as a program may have.
type bare struct{ kvdb.Kvdb }
