package command

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPut(t *testing.T) {
	sh := newShell(t)
	require.Empty(t, sh.ok("put", "a", "1"))
	require.Equal(t, "1", sh.ok("get", "a"))
	sh.in("line\n").ok("put", "a")
	require.Equal(t, "line\n", sh.ok("get", "a"))
	file := filepath.Join(t.TempDir(), "value")
	require.NoError(t, os.WriteFile(file, []byte(binary), 0o600))
	sh.ok("put", "-f", file, "a")
	require.Equal(t, binary, sh.ok("get", "a"))
	sh.in("typed").on(80).ok("put", "-f", "-", "a")
	require.Equal(t, "typed", sh.ok("get", "a"))
	sh.ok("put", "a", "--", "-1")
	require.Equal(t, "-1", sh.ok("get", "a"))
	sh.ok("put", "empty", "")
	require.Empty(t, sh.ok("get", "empty"))
	require.Equal(t, `{"key":"t","value":"x","encoding":"utf-8","created":7,"modified":7,"index":7,"ttl":60}`+"\n",
		sh.ok("put", "--ttl", "1m", "-o", "json", "t", "x"))
	require.Contains(t, sh.ok("get", "-o", "table", "t"), "1m0s")

	sh.fails(exitUsage, "the value is given twice", "put", "-f", file, "a", "1")
	sh.fails(exitUsage, "no such file", "put", "-f", file+"x", "a")
	require.Contains(t, sh.on(80).run("put", "a").stderr, "the value is missing")
	sh.fails(exitUsage, "must be a number of whole seconds", "put", "--ttl", "1500ms", "a", "1")
	sh.fails(exitUsage, "must be a number of whole seconds", "put", "--ttl=-1s", "a", "1")
	sh.fails(exitIllegal, "Illegal operation", "put", "", "1")
}
