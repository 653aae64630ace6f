package outside

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/bolt"
	"github.com/portworx/kvdb/consul"
	etcdv2 "github.com/portworx/kvdb/etcd/v2"
	etcdv3 "github.com/portworx/kvdb/etcd/v3"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/test"
	"github.com/portworx/kvdb/zookeeper"
)

// entryPoints calls all of them. The server runs for those that do not start it.
func entryPoints(t *testing.T, open kvdb.DatastoreInit, start test.StartKvdb, stop test.StopKvdb) {
	t.Run("Run", func(t *testing.T) { test.Run(open, t, start, stop) })
	t.Run("RunBasic", func(t *testing.T) { test.RunBasic(open, t, start, stop) })
	t.Run("RunLock", func(t *testing.T) { test.RunLock(open, t, start, stop) })
	t.Run("RunWatch", func(t *testing.T) { test.RunWatch(open, t, start, stop) })
	require.NoError(t, start(true))
	defer func() { require.NoError(t, stop()) }()
	t.Run("RunAuth", func(t *testing.T) { test.RunAuth(open, t) })
	t.Run("RunControllerTests", func(t *testing.T) { test.RunControllerTests(open, t) })
}

// The documentation says which import each backend needs.
func TestImportsAreDocumented(t *testing.T) {
	for name, path := range map[string]string{
		bolt.Name: "bolt", consul.Name: "consul", etcdv2.Name: "etcd/v2", etcdv3.Name: "etcd/v3", mem.Name: "mem",
		zookeeper.Name: "zookeeper",
	} {
		require.Contains(t, kvdb.Backends(), name)
		for _, file := range []string{"doc.go", "README.md"} {
			text, err := os.ReadFile(filepath.Join("..", "..", file))
			require.NoError(t, err)
			require.Regexp(t, `["`+"`"+`]`+name+`["`+"`"+`].*/`+path, string(text), file)
		}
	}
	require.Len(t, kvdb.Backends(), 6)
}

func nothing() error { return nil }

func TestMem(t *testing.T) {
	entryPoints(t, mem.New, func(bool) error { return nil }, nothing)
}

// The file is in the working directory.
func TestBolt(t *testing.T) {
	t.Chdir(t.TempDir())
	entryPoints(t, bolt.New, func(removeData bool) error {
		if err := os.Remove(bolt.DefaultPath); removeData && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}, nothing)
	require.FileExists(t, bolt.DefaultPath)
}
