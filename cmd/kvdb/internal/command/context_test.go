package command

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestContext(t *testing.T) {
	sh := newShell(t)
	sh.set("KVDB_STORE", "")
	file := "bolt:" + filepath.Join(t.TempDir(), "a.db")
	sh.ok("context", "add", "dev", file)
	sh.ok("put", "a", "1")
	require.Equal(t, "1", sh.ok("-s", file, "get", "a"), "the first context is the current one")
	sh.ok("context", "add", "prod", "etcds://app@h1,h2/app?Password=env:PW", "--protected")
	require.Equal(t, `NAME  CURRENT  PROTECTED  SAVED  STORE
dev   yes      -          -      `+cut(file, 46)+`
prod  -        yes        -      etcds://app@h1,h2/app?Password=env:PW
`, sh.ok("context", "ls"))
	require.Equal(t, `{"name":"prod","store":"etcds://app@h1,h2/app?Password=env:PW","current":false,"protected":true}`+"\n",
		sh.ok("context", "show", "-o", "json", "prod"))
	require.Equal(t, "dev\n", sh.ok("context", "show", "-o", "raw"))
	sh.ok("context", "use", "prod")
	sh.fails(exitUsage, "context prod is protected", "put", "a", "1")
	require.Equal(t, []string{"dev", "prod"}, complete(sh, "context", "use", ""))
	require.Contains(t, complete(sh, "-s", ""), "@prod")
	sh.ok("context", "rm", "prod")
	sh.fails(exitUsage, "no store is given", "get", "a")
	sh.fails(exitUsage, `there is no current context: use "kvdb context use NAME"`, "context", "show")

	sh.fails(exitUsage, `there is no context "prod": the contexts are ["dev"]`, "context", "use", "prod")
	sh.fails(exitUsage, `there is no context "prod"`, "context", "rm", "prod")
	sh.fails(exitUsage, "must have letters, digits", "context", "add", "a b", "mem:")
	sh.fails(exitUsage, "a store is a URL", "context", "add", "a", "nonsense")
	sh.fails(exitUsage, "--ask needs a terminal", "context", "add", "a", "mem:", "--ask", "Password")
	sh.fails(exitUsage, "only Password and ACLToken are secret", "context", "add", "a", "mem:", "--ask", "Path")
	sh.fails(exitUsage, `"ad" is not a command: did you mean "add"?`, "context", "ad")
}

// A secret that was typed is in the file, for its owner only, and shown nowhere.
func TestContextWithSecret(t *testing.T) {
	sh := newShell(t)
	sh.set("XDG_CONFIG_HOME", t.TempDir())
	r := sh.on(80).in("hunter2\n").run("context", "add", "prod", "etcd://me@127.0.0.1:1", "--ask", "Password")
	require.Equal(t, ran{0, "", "Password: \n"}, r)
	path := filepath.Join(sh.env.Environ[len(sh.env.Environ)-1][len("XDG_CONFIG_HOME="):], "kvdb", "config.yaml")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "hunter2")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	for _, args := range [][]string{
		{"context", "ls"}, {"context", "show"}, {"context", "show", "-o", "json"}, {"-v", "-s", "@prod", "--timeout", "100ms", "get", "a"},
	} {
		r := sh.run(args...)
		require.NotContains(t, r.stdout+r.stderr, "hunter2", args)
	}
	require.Contains(t, sh.ok("context", "show"), "[Password]")
	require.NoError(t, os.Chmod(path, 0o644))
	sh.fails(exitUsage, "run chmod 600 "+path, "context", "ls")
}
