package command

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// library returns a shell with some keys.
func library(t *testing.T) *shell {
	sh := newShell(t)
	sh.ok("put", "app/colour", "blue\nred\n")
	sh.ok("put", "app/size", "10")
	sh.ok("put", "app/size/max", strings.Repeat("x", 2000))
	sh.ok("put", "app-b", "Blue")
	sh.ok("put", "--ttl", "1h", "_session", "open")
	sh.in(binary).ok("put", "bin"+controlKey)
	return sh
}

// steady replaces what is left of an hour, soon after its beginning, by the hour.
func steady(text string) string {
	return regexp.MustCompile(`59m\d\ds`).ReplaceAllString(text, "1h0m0s")
}

const controlName = `binbad\n\x1b[2Jkey`

func TestLs(t *testing.T) {
	sh := library(t)
	require.Equal(t, "_session\napp\napp-b\n"+controlName+"\n", sh.ok("ls"))
	require.Equal(t, "colour\nsize\n", sh.ok("ls", "app"))
	require.Equal(t, "colour\nsize\n", sh.ok("ls", "app/"))
	require.Equal(t, "app/colour\napp/size\napp/size/max\n", sh.ok("ls", "-r", "app"))
	require.Equal(t, `{"name":"colour"}`+"\n"+`{"name":"size"}`+"\n", sh.ok("ls", "-o", "jsonl", "app"))
	require.Equal(t, "[]\n", sh.ok("ls", "-o", "json", "none"))
	require.Empty(t, sh.ok("ls", "none"))
	require.Contains(t, sh.ok("ls", "-o", "raw"), "bin"+controlKey+"\n")
	require.Equal(t, strings.TrimLeft(`
SIZE  CREATED  MODIFIED     TTL  KEY
   4        5         5  1h0m0s  _session
   4        4         4       -  app-b
   9        1         1       -  app/colour
   2        2         2       -  app/size
2000        3         3       -  app/size/max
   7        6         6       -  `+controlName+"\n", "\n"), steady(sh.ok("ls", "-l")))
	require.Equal(t, `{"key":"app/size/max","created":3,"modified":3,"index":6,"ttl":0,"size":2000}`+"\n",
		sh.ok("ls", "-l", "-o", "jsonl", "app/size"))
	sh.fails(exitUsage, "too many arguments: use kvdb ls [DIR]", "ls", "a", "b")
}

func TestTree(t *testing.T) {
	sh := library(t)
	require.Equal(t, strings.TrimLeft(`
app
├── colour
└── size
    └── max
3 keys
`, "\n"), sh.ok("tree", "app"))
	top := sh.ok("tree", "-L", "1")
	require.Contains(t, top, "├── _session\n├── app-b\n├── app/\n└── "+controlName+"\n6 keys\n")
	require.True(t, strings.HasPrefix(top, "bolt:"))
	require.Equal(t, `{"name":"app","key":false,"children":[{"name":"colour","key":true},`+
		`{"name":"size","key":true,"children":[{"name":"max","key":true}]}]}`+"\n", sh.ok("tree", "-o", "json", "app"))
	require.Contains(t, sh.on(80).ok("tree", "app"), "\x1b[34msize\x1b[0m")
	sh.fails(exitUsage, "use ls -r -o raw", "tree", "-o", "raw")
	sh.fails(exitUsage, "must not be negative", "tree", "-L", "-1")
}

func TestDu(t *testing.T) {
	sh := library(t)
	require.Equal(t, strings.Join([]string{
		"   SIZE  KEYS  NAME",
		"   12 B     1  _session",
		"    9 B     1  app-b",
		"2.0 KiB     3  app/",
		"   21 B     1  " + controlName,
		"2.0 KiB     6  total",
		"",
	}, "\n"), sh.ok("du"))
	require.Equal(t, "19\tapp/colour\n10\tapp/size\n2012\tapp/size/max\n2041\ttotal\n", sh.ok("du", "-d", "2", "-o", "raw", "app"))
	require.Equal(t, `{"name":"total","keys":3,"key_bytes":30,"value_bytes":2011}`+"\n", sh.ok("du", "-d", "0", "-o", "jsonl", "app"))
	require.Contains(t, sh.ok("du", "-b", "app"), "2041     3  total")
	require.Contains(t, sh.ok("du", "none"), " 0 B     0  total")
	sh.fails(exitUsage, "must not be negative", "du", "-d", "-1")
}

func TestFind(t *testing.T) {
	sh := library(t)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"app/size\n", []string{"--name", "si*"}},
		{"app-b\napp/colour\n", []string{"--regexp", "b$|lou?r"}},
		{"app/size/max\n", []string{"--larger", "1000"}},
		{"app/size\n", []string{"app", "--smaller", "5"}},
		{"_session\n", []string{"--expires"}},
		{"_session\n" + controlName + "\n", []string{"--since", "4"}},
		{"", []string{"--name", "nothing"}},
	} {
		require.Equal(t, c.want, sh.ok(append([]string{"find"}, c.args...)...), c.args)
	}
	require.Contains(t, steady(sh.ok("find", "-l", "--expires")), "4        5         5  1h0m0s  _session")
	sh.fails(exitUsage, `--name "[": syntax error in pattern`, "find", "--name", "[")
	sh.fails(exitUsage, "--regexp: error parsing regexp", "find", "--regexp", "(")
}

func TestGrep(t *testing.T) {
	sh := library(t)
	require.Equal(t, "app/colour:blue\n", sh.ok("grep", "^blue"))
	require.Equal(t, "app-b:Blue\napp/colour:blue\n", sh.ok("grep", "-i", "BLUE"))
	require.Equal(t, "app/colour\n", sh.ok("grep", "-l", "blue", "app"))
	require.Equal(t, controlName+": value of 7 B matches\n", sh.ok("grep", "-F", "[31m"))
	require.Equal(t, "app/colour: value of 9 B matches\n", sh.ok("grep", "blue\nred"))
	require.Contains(t, sh.ok("grep", "-o", "jsonl", "blue"), `"key":"app/colour","value":"blue\nred\n"`)
	require.Contains(t, sh.ok("grep", "-o", "jsonl", "-l", "blue"), `{"key":"app/colour","created"`)
	require.Equal(t, ran{exitNo, "", ""}, sh.run("grep", "nothing"))
	sh.fails(exitUsage, "use -F for a plain text", "grep", "(")
	sh.fails(exitUsage, "arguments are missing", "grep")
}
