package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/backup"
)

// A backup is restored to another store, with TTLs, and may be restored again.
func TestBackupAndRestore(t *testing.T) {
	sh, other := two(t)
	fillOdd(sh)
	file := filepath.Join(t.TempDir(), "all.kvdb")
	text := sh.ok("backup", file)
	require.Contains(t, text, "state   of one moment\n")
	require.Contains(t, text, "digest  "+sh.ok("digest", "-o", "raw")+"\n")
	for line := range strings.Lines(text) {
		require.LessOrEqual(t, width(strings.TrimSuffix(line, "\n")), defaultWidth)
	}
	sh.set("KVDB_STORE", "") // not needed
	require.Equal(t, text, sh.ok("backup", "inspect", file))
	require.Equal(t, text, sh.ok("backup", "verify", file))
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	var info backup.Info
	require.NoError(t, json.Unmarshal([]byte(sh.in(string(content)).ok("backup", "verify", "-o", "json", "-")), &info))
	require.Equal(t, len(oddKeys)+1, info.Pairs)

	sh.set("KVDB_STORE", other)
	for _, want := range []backup.Restored{{Pairs: info.Pairs, Created: info.Pairs}, {Pairs: info.Pairs, Unchanged: info.Pairs}} {
		var got backup.Restored
		require.NoError(t, json.Unmarshal([]byte(sh.ok("restore", "-o", "json", file)), &got))
		require.Equal(t, want, got)
	}
	require.Equal(t, info.Digest, sh.ok("digest", "-o", "raw"))
	require.Regexp(t, `"ttl":3[56]\d\d`, sh.ok("get", "-o", "json", "session"))
	require.Equal(t, "pairs        5\ncreated      0\noverwritten  0\nunchanged    5\n", sh.ok("restore", file, "a/", "session"))
}

// What a restore replaces or deletes is shown first.
func TestRestoreAsks(t *testing.T) {
	sh := newShell(t)
	file := filepath.Join(t.TempDir(), "app.kvdb")
	for _, key := range []string{"app/a", "app/b", "other"} {
		sh.ok("put", key, "1")
	}
	sh.ok("backup", file, "app/")
	sh.ok("put", "app/a", "2")
	sh.ok("put", "app/new", "x")
	sh.ok("rm", "app/b")
	sh.fails(exitConflict, "--overwrite replaces other values, --only-missing leaves them alone", "restore", file)
	sh.fails(exitUsage, "this would overwrite 1 key and delete 1 key: add --yes", "restore", "--overwrite", "--prune", file)
	r := sh.run("restore", "-n", "--overwrite", "--prune", file)
	require.Equal(t, ran{0, "pairs        2\ncreated      1\noverwritten  1\nunchanged    0\ndeleted      1\n",
		"would overwrite 1 key and delete 1 key in " + sh.env.getenv("KVDB_STORE") + "\n"}, r)
	require.Equal(t, "app/a\napp/new\nother\n", sh.ok("ls", "-r"))
	require.Equal(t, "pairs        2\ncreated      1\noverwritten  0\nunchanged    0\nkept         1\nothers       1\n", sh.ok("restore", "--only-missing", file))
	require.Equal(t, "2", sh.ok("get", "app/a"))
	require.Contains(t, sh.run("restore", "-n", file, "other").stderr, "would overwrite 0 keys in ")
	sh.fails(exitUsage, "this would delete 1 key: add --yes", "restore", "--only-missing", "--prune", file)
	typed := sh.on(80).in("y\n").run("restore", "--overwrite", "--prune", file)
	require.Equal(t, exitOK, typed.code, typed.stderr)
	require.Equal(t, "1", sh.ok("get", "app/a"))
	require.Equal(t, "app/a\napp/b\nother\n", sh.ok("ls", "-r"))
}

// A backup goes to standard output too, but not to a terminal.
func TestBackupToOutput(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	stream := sh.ok("backup", "-")
	require.Contains(t, sh.in(stream).ok("backup", "verify", "-"), "pairs   1\n")
	require.Contains(t, sh.on(80).run("backup", "-").stderr, "a backup is not for a terminal: name a file")
}

func TestBackupErrors(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	dir := t.TempDir()
	file := filepath.Join(dir, "a.kvdb")
	sh.ok("backup", file)
	sh.fails(exitUsage, file+" exists: choose another name, or add --overwrite", "backup", file)
	sh.ok("backup", "--overwrite", "--one-moment", file)
	sh.fails(exitOther, "no such file", "backup", filepath.Join(dir, "none", "file"))
	sh.fails(exitUsage, "arguments are missing: use kvdb backup FILE [PREFIX...]", "backup")
	sh.fails(exitUsage, "no such file", "backup", "verify", file+"2")
	sh.fails(exitUsage, "no such file", "restore", file+"2")
	sh.fails(exitUsage, "save it in a file", "restore", "-")
	sh.fails(exitUsage, "--ttl no: it is one of remaining, absolute, drop", "restore", "--ttl", "no", file)
	sh.fails(exitUsage, "--on-incompatible no: it is stop or skip", "restore", "--on-incompatible", "no", file)
	sh.fails(exitUsage, "--only-missing or --overwrite, not both", "restore", "--only-missing", "--overwrite", file)

	content, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, damaged := range []string{"", "text", string(content[:len(content)/2]), string(content) + "x"} {
		writeFile(t, file, damaged)
		for _, command := range [][]string{{"backup", "inspect", file}, {"backup", "verify", file}, {"restore", file}} {
			sh.fails(exitOther, file+": ", command...)
			sh.fails(exitOther, "backup is corrupt", command...)
		}
	}
}
