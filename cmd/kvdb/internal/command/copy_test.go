package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/transfer"
)

// A copy makes two stores equal, asks before it replaces or deletes, and prints a receipt.
func TestCopy(t *testing.T) {
	sh, other := two(t)
	fillOdd(sh)
	receipt := sh.ok("copy", other)
	for line := range strings.Lines(receipt) {
		require.LessOrEqual(t, width(strings.TrimSuffix(line, "\n")), defaultWidth)
	}
	require.Contains(t, receipt, "digest   "+sh.ok("digest", "-o", "raw")+"\n")
	require.Contains(t, receipt, "not copied: locks that are held at the source\n")
	require.Empty(t, sh.ok("diff", "--ttl", other))

	sh.ok("-s", other, "put", "a", "stale")
	sh.ok("-s", other, "put", "extra", "x")
	sh.ok("put", "new", "x")
	sh.fails(exitUsage, "this would replace 1 key: a: add --yes to do it", "copy", other)
	sh.fails(exitUsage, "this would replace or delete 2 keys: a, extra: add --yes", "copy", "--delete", other)
	r := sh.run("copy", "--delete", "-n", other)
	require.Equal(t, ran{0, "new       1\nchanged   2\nextra     1\nproblems  0\n", "would replace or delete 2 keys: a, extra in " + other + "\n"}, r)
	require.Equal(t, "stale", sh.ok("-s", other, "get", "a"))
	asked := sh.on(80).in("y\n").run("copy", "--prefix", "a", other)
	require.Equal(t, exitOK, asked.code, asked.stderr)
	require.Contains(t, asked.stderr, "This will replace 1 key: a in "+other)
	require.Equal(t, "x", sh.ok("-s", other, "get", "extra"))

	var got transfer.Receipt
	require.NoError(t, json.Unmarshal([]byte(sh.ok("copy", "-y", "--delete", "-o", "json", other)), &got))
	require.Equal(t, []int{1, 0}, []int{got.Deleted, got.TargetOnly})
	require.Positive(t, got.Written)
	require.Equal(t, got.Source, got.Target)
	require.Empty(t, sh.ok("diff", other))
	require.Equal(t, got.Target.Digest, sh.ok("copy", "-y", "-o", "raw", other))
}

// What the other store cannot hold stops the copy, or is left out.
func TestCopyIncompatible(t *testing.T) {
	sh, other := two(t)
	sh.ok("put", "a", "x")
	sh.ok("put", "--ttl", "1h", "session", "x")
	sh.fails(exitIncomplete, "--on-incompatible skip leaves them out", "copy", "--ttl", "fail", other)
	require.Empty(t, sh.ok("-s", other, "ls"))
	r := sh.run("copy", "-n", "--ttl", "fail", other)
	require.Equal(t, exitOK, r.code)
	require.Contains(t, r.stderr, `kvdb: cannot copy key "session": `)
	require.Contains(t, r.stdout, "problems  1\n")
	r = sh.run("copy", "--ttl", "fail", "--on-incompatible", "skip", other)
	require.Equal(t, exitIncomplete, r.code)
	require.Contains(t, r.stderr, "kvdb: 1 pair was left out, because the other store cannot hold them")
	require.Contains(t, r.stdout, "skipped  1\n")
	require.Equal(t, "a\n", sh.ok("-s", other, "ls"))
	sh.ok("copy", "--ttl", "drop", other)
	require.Contains(t, sh.ok("-s", other, "get", "-o", "json", "session"), `"ttl":0`)
}

func TestCopyErrors(t *testing.T) {
	sh, other := two(t)
	sh.ok("put", "a", "x")
	sh.fails(exitUsage, "arguments are missing: use kvdb copy STORE", "copy")
	sh.fails(exitUsage, "one store with overlapping domains", "copy", sh.env.getenv("KVDB_STORE"))
	sh.fails(exitUsage, "one store with overlapping domains", "copy", sh.env.getenv("KVDB_STORE")+"?domain=below")
	sh.fails(exitUsage, "--ttl no: it is one of keep, drop, fail", "copy", "--ttl", "no", other)
	sh.fails(exitUsage, "--on-incompatible no: it is stop or skip", "copy", "--on-incompatible", "no", other)
	sh.fails(exitUsage, "--follow or --cutover-cmd, not both", "copy", "--follow", "--cutover-cmd", "true", other)
	sh.fails(exitUsage, "must be positive", "copy", "--lock-wait", "0s", other)
	require.NoFileExists(t, strings.TrimSuffix(strings.TrimPrefix(other, "bolt:"), "?domain=d"), "nothing was opened")
	r := sh.run("copy", "--cutover-cmd", "echo stopping; exit 3", other)
	require.Equal(t, exitIncomplete, r.code)
	require.Empty(t, r.stdout)
	require.Equal(t, "kvdb: in sync: running echo stopping; exit 3\nstopping\n"+
		"kvdb: cut-over: the command of --cutover-cmd ended with exit code 3; nothing is lost: run the command again to go on\n", r.stderr)

	config := filepath.Join(t.TempDir(), "kvdb", "config.yaml")
	require.NoError(t, os.MkdirAll(filepath.Dir(config), 0o700))
	writeFile(t, config, "contexts: {c: {store: '"+other+"', protected: true}}")
	sh.set("XDG_CONFIG_HOME", filepath.Dir(filepath.Dir(config)))
	sh.fails(exitUsage, "context c is protected: add --unprotect c to change it", "copy", "@c")
	sh.ok("copy", "--unprotect", "c", "@c")
	sh.ok("-s", "@c", "copy", "bolt:"+config+".db") // the source is only read
}

// The command of --cutover-cmd stops the programs that write. What they wrote until then is copied.
func TestCopyCutsOver(t *testing.T) {
	sh, other := two(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	sh.ok("put", "early", "x")
	r := sh.start("copy", "--cutover-cmd", "cat "+fifo, other)
	await(t, &r.stderr, "in sync: running cat "+fifo)
	sh.ok("put", "late", "x")
	writeFile(t, fifo, "the programs have stopped\n") // waits for cat
	require.Equal(t, exitOK, r.ends())
	text, _ := r.stderr.read()
	require.Contains(t, text, "the programs have stopped\n")
	require.Equal(t, "early\nlate\n", sh.ok("-s", other, "ls"))
}

// With --follow, changes are copied until the copy is interrupted.
func TestCopyFollows(t *testing.T) {
	sh, other := two(t)
	sh.ok("put", "early", "x")
	state := filepath.Join(t.TempDir(), "state")
	r := sh.on(80).start("copy", "--follow", "--state", state, other)
	await(t, &r.stderr, "in sync · ")
	sh.ok("put", "late", "x")
	require.Eventually(t, func() bool { return sh.run("-s", other, "get", "late").code == exitOK }, patience, 10*time.Millisecond)
	r.signals <- syscall.SIGINT
	require.Equal(t, 130, r.ends())
	require.FileExists(t, state)
	require.Equal(t, exitOK, sh.run("copy", "-y", "--state", state, other).code) // bolt has forgotten the changes, and it says so
	require.Empty(t, sh.ok("diff", other))
}
