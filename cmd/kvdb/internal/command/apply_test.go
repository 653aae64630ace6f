package command

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestApply(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "app/a", "1")
	sh.ok("put", "app/_old", "x")
	sh.ok("put", "app/same", "y")
	sh.ok("put", "other", "z")
	const wanted = "app/a: \"2\"\napp/new: {value: n, ttl: 60}\napp/same: y\n"
	const shown = `
   KEY       TTL  VALUE
-  app/a       -  1
+  app/a       -  2
+  app/new  1m0s  n
`
	in := sh.in(wanted)
	r := in.run("apply", "-")
	require.Equal(t, exitUsage, r.code)
	require.Equal(t, strings.TrimLeft(shown, "\n"), r.stdout)
	require.Equal(t, "kvdb: this would change 2 keys: app/a, app/new: add --yes to do it, or --dry-run to see more\n", r.stderr)
	in = sh.in(wanted)
	r = in.run("apply", "-n", "-")
	require.Equal(t, ran{0, strings.TrimLeft(shown, "\n"), "would change 2 keys: app/a, app/new in " + sh.env.getenv("KVDB_STORE") + "\n"}, r)
	require.Equal(t, "1", sh.ok("get", "app/a"))
	require.Equal(t, strings.TrimLeft(shown, "\n"), sh.in(wanted).ok("apply", "-y", "-"))
	require.Equal(t, "2", sh.ok("get", "app/a"))
	require.Empty(t, sh.in(wanted).ok("apply", "-"), "nothing is to be done, and nothing asked")
	require.Equal(t, "[]\n", sh.in(wanted).ok("apply", "-o", "json", "-"))
	require.Equal(t, "z", sh.ok("get", "other"))
}

// Only the keys with the prefix are deleted, hidden ones too.
func TestApplyPrunes(t *testing.T) {
	sh := newShell(t)
	for _, key := range []string{"app/a", "app/_old", "apple", "other"} {
		sh.ok("put", key, "1")
	}
	const wanted = "app/a: \"1\"\n"
	sh.in(wanted).fails(exitUsage, "the empty prefix means every key", "apply", "--prune", "-y", "-")
	sh.in("b: x").fails(exitUsage, `standard input: the key "b" does not begin with the --prefix "app/"`, "apply", "--prefix", "app/", "-y", "-")
	require.Equal(t, `{"key":"app/_old","old":{"value":"1","encoding":"utf-8"},"new":null}`+"\n",
		sh.in(wanted).ok("apply", "--prune", "--prefix", "app/", "-y", "-o", "jsonl", "-"))
	require.Equal(t, "app/a\napple\nother\n", sh.ok("ls", "-r"))
	require.Equal(t, "   KEY    VALUE\n-  apple  1\n-  other  1\n", sh.in(wanted).ok("apply", "--prune", "--all", "-y", "-"))
	require.Equal(t, "-  app/a  1\n", sh.in("{}").ok("apply", "-f", "yaml", "--prune", "--prefix", "a", "-y", "-")[len("   KEY    VALUE\n"):])
	require.Empty(t, sh.ok("ls", "-r"))
}

// A person sees the differences before the question.
func TestApplyAsks(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	file := t.TempDir() + "/wanted.yaml"
	sh.ok("export", "--format", "yaml")
	writeFile(t, file, "a: \"2\"\n")
	sh.set("NO_COLOR", "1")
	r := sh.on(80).in("n\n").run("apply", file)
	require.Equal(t, exitUsage, r.code)
	require.Equal(t, "   KEY  VALUE\n-  a    1\n+  a    2\n", r.stdout)
	require.Contains(t, r.stderr, "This will change 1 key: a in ")
	require.Equal(t, "1", sh.ok("get", "a"))
	require.Equal(t, exitOK, sh.on(80).in("y\n").run("apply", file).code)
	require.Equal(t, "2", sh.ok("get", "a"))
}
