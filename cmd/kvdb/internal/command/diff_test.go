package command

import (
	"crypto/sha256"
	bigendian "encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// two returns a shell, and the URL of another store.
func two(t *testing.T) (sh *shell, other string) {
	sh = newShell(t)
	return sh, "bolt:" + filepath.Join(t.TempDir(), "other.db?domain=d")
}

// The digest is what the help says, on each store.
func TestDigest(t *testing.T) {
	sh, other := two(t)
	pairs := [][2]string{{"a", "1"}, {"app/_hidden", binary}, {"app/b", "2"}}
	h := sha256.New()
	for _, pair := range pairs {
		for _, text := range pair {
			h.Write(append(length(text), text...))
		}
	}
	digest := "sha256:" + hex.EncodeToString(h.Sum(nil))
	for range 2 {
		for _, pair := range pairs {
			sh.in(pair[1]).ok("put", pair[0])
		}
		text := sh.ok("digest")
		require.Equal(t, "pairs   3\nsize    26 B\ndigest  "+digest+"\n", text)
		for line := range strings.Lines(text) {
			require.LessOrEqual(t, width(line), defaultWidth)
		}
		require.Equal(t, digest, sh.ok("digest", "-o", "raw"))
		require.Equal(t, `{"digest":"`+digest+`","pairs":3,"bytes":26}`+"\n", sh.ok("digest", "-o", "json"))
		require.Contains(t, sh.ok("digest", "app/"), "pairs   2\n")
		require.Contains(t, sh.ok("digest", "none"), "pairs   0\n")
		sh.set("KVDB_STORE", other)
	}
	sh.fails(exitUsage, "too many arguments", "digest", "a", "b")
}

func length(text string) []byte { return bigendian.BigEndian.AppendUint64(nil, uint64(len(text))) }

func TestDiff(t *testing.T) {
	sh, other := two(t)
	sh.ok("put", "same", "x")
	sh.ok("-s", other, "put", "same", "x")
	sh.ok("-s", other, "put", "same", "x")
	require.Empty(t, sh.ok("diff", other))
	require.Empty(t, sh.ok("diff", "-q", "-o", "json", other))
	require.Equal(t, "[]\n", sh.ok("diff", "-o", "json", other))

	sh.ok("put", "a", strings.Repeat("long ", 100))
	sh.ok("put", "app/_hidden", "only here")
	sh.in(binary).ok("-s", other, "put", "a")
	sh.ok("-s", other, "put", controlKey, "only there")
	r := sh.run("diff", other)
	require.Equal(t, ran{exitNo, strings.TrimLeft(`
   KEY              VALUE
-  a                long long long long long long long long long long long long…
+  a                \x00\xff\x1b[31m
-  app/_hidden      only here
+  bad\n\x1b[2Jkey  only there
`, "\n"), "kvdb: 3 keys differ\n"}, r)
	require.Equal(t, "a\napp/_hidden\n"+controlKey+"\n", sh.run("diff", "-o", "raw", other).stdout)
	require.Equal(t, strings.TrimLeft(`
{"key":"app/_hidden","old":{"value":"only here","encoding":"utf-8"},"new":null}
`, "\n"), sh.run("diff", "-o", "jsonl", other, "app").stdout)
	require.Equal(t, "   KEY\n-  app/_hidden\n+  bad\\n\\x1b[2Jkey\n", sh.run("diff", "--keys", other).stdout)
	require.Equal(t, ran{code: exitNo}, sh.run("diff", "-q", other))
	require.Equal(t, "kvdb: 1 key differs\n", sh.run("diff", other, "app").stderr)
	for line := range strings.Lines(sh.on(40).run("diff", other).stdout) {
		require.LessOrEqual(t, width(strings.TrimSuffix(strings.NewReplacer("\x1b[1m", "", "\x1b[0m", "").Replace(line), "\n")), 40)
	}
}

func TestDiffTTL(t *testing.T) {
	sh, other := two(t)
	sh.ok("put", "--ttl", "1h", "a", "x")
	sh.ok("-s", other, "put", "a", "x")
	require.Empty(t, sh.ok("diff", other))
	require.Regexp(t, `^   KEY +TTL  VALUE\n-  a +(1h0m0s|59m\d+s)  x\n\+  a +-  x\n$`, sh.run("diff", "--ttl", other).stdout)
	require.Contains(t, fresh(sh.run("diff", "--ttl", "-o", "json", other).stdout), `"ttl":3600},"new":{"value":"x","encoding":"utf-8","ttl":0}`)
}

func TestDiffErrors(t *testing.T) {
	sh, other := two(t)
	sh.ok("put", "a", "x")
	sh.fails(exitUsage, "arguments are missing: use kvdb diff STORE [PREFIX]", "diff")
	sh.fails(exitUsage, "STORE: ", "diff", "nonsense")
	sh.fails(exitUsage, "the other store is empty", "diff", "")
	sh.fails(exitUsage, `STORE: there is no context "none"`, "diff", "@none")
	sh.fails(exitUsage, "there is no file", "diff", other)
	sh.fails(exitConnection, "try a longer --timeout", "diff", "--timeout", "10ms", "etcd://127.0.0.1:1")
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}
