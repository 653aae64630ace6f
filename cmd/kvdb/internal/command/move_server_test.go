package command

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/transfer"
)

// Pairs go into each store and out of it again, by each command, and are the same.
func TestServerMoves(t *testing.T) {
	onEachServer(t, func(t *testing.T, sh *shell, scheme string) {
		pairs := sampleOf(scheme)
		require.Equal(t, "new        "+strconv.Itoa(strings.Count(pairs, "{"))+"\ndifferent  0\nsame       0\n", sh.in(pairs).ok("import", "-"))
		t.Run("apply", func(t *testing.T) { serverApplies(t, sh, pairs) })
		t.Run("export", func(t *testing.T) { serverExports(t, sh) })
		t.Run("backup", func(t *testing.T) { serverRestores(t, sh) })
		t.Run("copy", func(t *testing.T) { serverCopies(t, sh, scheme) })
	})
}

// sampleOf returns pairs that a store can hold: ZooKeeper has no TTLs, and etcd v2 does not list
// hidden keys.
func sampleOf(scheme string) string {
	pairs := `{"key":"app/a","value":"1"} {"key":"app/binary","value":"AP8=","encoding":"base64"}
{"key":"app/deep/er/key","value":"x"} {"key":"app/grün","value":"y"} {"key":"other","value":"z"}`
	if scheme != "etcd2" {
		pairs += ` {"key":"app/_hidden","value":"h"}`
	}
	if scheme != "zk" {
		pairs += ` {"key":"session","value":"open","ttl":3600}`
	}
	return pairs
}

func serverApplies(t *testing.T, sh *shell, pairs string) {
	require.Empty(t, sh.in(pairs).ok("apply", "--prune", "--all", "-"), "nothing differs")
	sh.ok("put", "app/a", "2")
	sh.ok("put", "stale", "x")
	require.Equal(t, "   KEY    VALUE\n-  app/a  2\n+  app/a  1\n-  stale  x\n", sh.in(pairs).ok("apply", "--prune", "--all", "-y", "-"))
	require.Empty(t, sh.in(pairs).ok("apply", "--prune", "--all", "-"))
}

func serverExports(t *testing.T, sh *shell) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "all.yaml"), sh.ok("export", "-f", "yaml"))
	writeFile(t, filepath.Join(dir, "all.jsonl"), sh.ok("export"))
	sh.ok("export", "--dir", filepath.Join(dir, "all"))
	for i, file := range []string{"all.yaml", "all.jsonl", "all"} {
		other := "bolt:" + filepath.Join(dir, strconv.Itoa(i)+".db")
		sh.ok("-s", other, "import", filepath.Join(dir, file))
		require.Empty(t, sh.ok("diff", "--ttl", other), file)
	}
}

func serverRestores(t *testing.T, sh *shell) {
	file := filepath.Join(t.TempDir(), "all.kvdb")
	digest := sh.ok("digest", "-o", "raw")
	require.Equal(t, digest, sh.ok("backup", "-o", "raw", file))
	sh.ok("rm", "-r", "--all", "-y", "")
	require.Empty(t, sh.ok("ls", "-r"))
	sh.ok("restore", file)
	require.Equal(t, digest, sh.ok("digest", "-o", "raw"))
}

// A copy follows the store until the programs have stopped, and another one brings the pairs back
// to another domain.
func serverCopies(t *testing.T, sh *shell, scheme string) {
	other := "bolt:" + filepath.Join(t.TempDir(), "other.db")
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	r := sh.start("copy", "-o", "json", "--cutover-cmd", "cat "+fifo, other)
	await(t, &r.stderr, "in sync: running cat")
	sh.ok("put", "late", "x")
	sh.ok("rm", "other")
	writeFile(t, fifo, "stopped\n")
	text, _ := r.stderr.read()
	require.Equal(t, exitOK, r.ends(), text)
	text, _ = r.stdout.read()
	var receipt transfer.Receipt
	require.NoError(t, json.Unmarshal([]byte(text), &receipt))
	require.Equal(t, receipt.Source, receipt.Target)
	require.Empty(t, sh.ok("diff", "--ttl", other))
	require.Equal(t, "x", sh.ok("-s", other, "get", "late"))

	back := strings.Replace(sh.env.getenv("KVDB_STORE"), "/my/app", "/back", 1)
	sh.ok("-s", other, "copy", back)
	require.Empty(t, sh.ok("-s", back, "diff", sh.env.getenv("KVDB_STORE")), scheme)
}
