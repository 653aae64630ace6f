package test_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The entry points of earlier releases work for a store without a server, with functions
// that start and stop nothing.
func TestEntryPoints(t *testing.T) {
	running := false
	start := func(bool) error { running = true; return nil }
	stop := func() error { running = false; return nil }
	withObjects := func(domain string, machines []string, options map[string]string, cb kvdb.FatalErrorCB) (kvdb.Kvdb, error) {
		require.True(t, running)
		require.Empty(t, machines)
		with := map[string]string{mem.KvUseInterface: "true"}
		maps.Copy(with, options)
		return mem.New(domain, nil, with, cb)
	}
	t.Run("Run", func(t *testing.T) { test.Run(mem.New, t, start, stop) })
	t.Run("RunBasic", func(t *testing.T) { test.RunBasic(withObjects, t, start, stop) })
	t.Run("RunLock", func(t *testing.T) { test.RunLock(withObjects, t, start, stop) })
	t.Run("RunWatch", func(t *testing.T) { test.RunWatch(withObjects, t, start, stop) })
	t.Run("RunAuth", func(t *testing.T) { test.RunAuth(mem.New, t) })
	t.Run("RunControllerTests", func(t *testing.T) { test.RunControllerTests(mem.New, t) })
	require.False(t, running, "the server must be stopped at the end")
}

// Programs use these names with these types.
var (
	_ func(kvdb.DatastoreInit, *testing.T, test.StartKvdb, test.StopKvdb) = test.Run
	_ func(kvdb.DatastoreInit, *testing.T, test.StartKvdb, test.StopKvdb) = test.RunBasic
	_ func(kvdb.DatastoreInit, *testing.T, test.StartKvdb, test.StopKvdb) = test.RunLock
	_ func(kvdb.DatastoreInit, *testing.T, test.StartKvdb, test.StopKvdb) = test.RunWatch
	_ func(kvdb.DatastoreInit, *testing.T)                                = test.RunAuth
	_ func(kvdb.DatastoreInit, *testing.T)                                = test.RunControllerTests
	_ test.StartKvdb                                                      = func(removeData bool) error { return nil }
	_ test.StopKvdb                                                       = func() error { return nil }
)

func TestMatrix(t *testing.T) {
	one := &test.Report{Backend: "one", Groups: []*test.GroupReport{
		{Name: "A", Calls: "Get, Put", Passed: []string{"X", "Y"}},
		{Name: "B", Calls: "TTL", Passed: []string{"X"}, Exceptions: []string{"from 5 s", "to 1 h"}},
		{Name: "C", Calls: "Users", Unsupported: []string{"X"}},
	}}
	two := &test.Report{Backend: "two", Groups: []*test.GroupReport{
		{Name: "A", Calls: "Get, Put", Passed: []string{"X"}, Failed: []string{"Y", "Z"}},
		{Name: "B", Calls: "TTL", Passed: []string{"X"}, Unsupported: []string{"Y"}},
	}}
	require.Equal(t, strings.TrimLeft(`
| operations | one | two |
|---|---|---|
| Get, Put | full | **fails**: Y, Z |
| TTL | from 5 s; to 1 h | `+"`ErrNotSupported`: Y"+` |
| Users | `+"`ErrNotSupported`"+` | not run |
`, "\n"), test.Matrix(one, two))
}
