package command

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// oddKeys are keys that some format has to escape, in order.
var oddKeys = []string{
	"%value", "%zz", "-dash", "..", "../up", ".dot/.dot", "/lead//x/", "<<", "CON", "a", "a-b", "a/", "a/_hidden", "a/b", "a/b/c", "a\\b", "app.conf",
	"b/%value", "bad\n\x1b[2Jkey", "grün", "key: x", "n", "null", "{}", "~", "\u202e", "日本/語", "\xff\xfe/x",
}

// oddValues are values that some format has to escape.
var oddValues = []string{
	"", " ", "\n", "\ttab\n\tindented\n", "l1\n  l2\n\n", "  l1\nl2", "# no comment", "yes", "123", "null", "~", "- x", "a: b", "{", "'\"", "\r\n", "\u0085\u2028\ufeff",
	binary, "\xef\xbb", strings.Repeat("long ", 1000), "{\"json\":true}",
}

// fillOdd puts the odd keys with the odd values in turn, and one that expires.
func fillOdd(sh *shell) {
	for i, key := range oddKeys {
		sh.in(oddValues[i%len(oddValues)]).ok("put", "--", key)
	}
	sh.ok("put", "--ttl", "1h", "session", "open")
}

// Pairs exported in any format, and imported into another store, are the same, TTLs included.
func TestExportAndImport(t *testing.T) {
	sh, _ := two(t)
	fillOdd(sh)
	pairs := len(oddKeys) + 1
	for _, format := range []string{formatJSONL, formatJSON, formatYAML, "folder"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "file")
		if format == "folder" {
			require.Empty(t, sh.ok("export", "--dir", file))
		} else {
			require.NoError(t, os.WriteFile(file, []byte(sh.ok("export", "--format", format)), 0o600))
		}
		other := "bolt:" + filepath.Join(dir, "other.db")
		for _, want := range []importRecord{{New: pairs}, {Same: pairs}} {
			var got importRecord
			require.NoError(t, json.Unmarshal([]byte(sh.ok("-s", other, "import", "-o", "json", file)), &got))
			require.Equal(t, want, got, format)
		}
		require.Empty(t, sh.ok("diff", "--ttl", other), format)
	}
	require.Equal(t, fresh(sh.ok("export")), fresh(sh.ok("export", "-o", "jsonl")))
	require.Equal(t, fresh(sh.ok("export", "-f", "json")), fresh(sh.ok("export", "-o", "json")))
}

// The formats look like this.
func TestExportFormats(t *testing.T) {
	sh := newShell(t)
	for format, want := range map[string]string{formatJSONL: "", formatJSON: "[]\n", formatYAML: "{}\n", formatConsul: "[]\n"} {
		require.Equal(t, want, sh.ok("put", "x", "y")+sh.ok("rm", "x")+sh.ok("export", "--format", format))
	}
	sh.ok("put", "app/conf", "a = 1\nb = 2\n")
	sh.ok("put", "app/port", "8080")
	sh.in(binary).ok("put", "app/bin")
	sh.ok("put", "--ttl", "1h", "app/session", "open")
	sh.ok("put", "other", "x")
	require.Equal(t, strings.TrimLeft(`
app/bin: !!binary AP8bWzMxbQ==
app/conf: |
    a = 1
    b = 2
app/port: "8080"
app/session:
    value: open
    ttl: 3600
`, "\n"), fresh(sh.ok("export", "-f", "yaml", "app/")))
	r := sh.run("export", "-f", "consul", "app/")
	require.Equal(t, ran{0, strings.TrimLeft(`
[
{"key":"app/bin","flags":0,"value":"AP8bWzMxbQ=="},
{"key":"app/conf","flags":0,"value":"YSA9IDEKYiA9IDIK"},
{"key":"app/port","flags":0,"value":"ODA4MA=="},
{"key":"app/session","flags":0,"value":"b3Blbg=="}
]
`, "\n"), "kvdb: Consul's format has no TTLs: 1 pair expires in the store\n"}, r)
	sh.ok("put", "app/\xff", "x")
	r = sh.run("export", "-f", "consul", "app/")
	require.Equal(t, exitIllegal, r.code)
	require.Contains(t, r.stderr, `key "app/\xff": Illegal operation: it is not UTF-8; use another --format`)
	sh.fails(exitUsage, "the formats are jsonl, json, yaml, consul", "export", "-f", "xml")
	sh.fails(exitUsage, "--format table: the formats are", "export", "-o", "table")
	sh.fails(exitUsage, "use --dir, or a format, not both", "export", "-f", "yaml", "--dir", "x")
}

// fresh returns a text in which a TTL of an hour is as it was at first.
func fresh(text string) string {
	return regexp.MustCompile(`59m[0-9.]+s`).ReplaceAllString(regexp.MustCompile(`\b35\d\d\b`).ReplaceAllString(text, "3600"), "1h0m0s")
}

// The names of files are as the help says, for their owner only, and never outside of the folder.
func TestExportToFolder(t *testing.T) {
	sh := newShell(t)
	fillOdd(sh)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	sh.ok("export", "--dir", dir)
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		found[name] = string(text)
		return err
	}))
	require.Len(t, found, len(oddKeys)+2)
	for i, name := range []string{
		"%25value", "%25zz", "-dash", "%2E./%value", "%2E./up", "%2Edot/%2Edot", "%/lead/%/x/%", "%3C%3C", "CON", "a/%value", "a-b", "a/%", "a/_hidden", "a/b/%value", "a/b/c",
		"a%5Cb", "app.conf", "b/%25value", "bad%0A%1B%5B2Jkey", "grün", "key%3A%20x", "n", "null", "%7B%7D", "~", "%E2%80%AE", "日本/語", "%FF%FE/x",
	} {
		require.Equal(t, oddValues[i%len(oddValues)], found[name], name)
		key, err := parsePath(name)
		require.NoError(t, err)
		require.Equal(t, oddKeys[i], key)
	}
	require.JSONEq(t, `{"version":1,"ttl":{"session":3600}}`, fresh(found[ttlName]))

	sh.fails(exitUsage, "is not empty: choose a new one", "export", "--dir", dir)
	sh.fails(exitUsage, "not a directory", "export", "--dir", filepath.Join(dir, "n"))
	sh.ok("put", strings.Repeat("x", 300), "y")
	sh.fails(exitOther, "use --format jsonl", "export", "--dir", dir+"2")
}

// Consul's program wrote this.
const consulExport = `[
	{
		"key": "app/a",
		"flags": 0,
		"value": "aGVsbG8="
	},
	{
		"key": "app/empty",
		"flags": 42,
		"value": ""
	}
]`

func TestImport(t *testing.T) {
	sh := newShell(t)
	require.Equal(t, "new        2\ndifferent  0\nsame       0\n", sh.in(consulExport).ok("import", "-"))
	require.Equal(t, "hello", sh.ok("get", "app/a"))
	require.Empty(t, sh.ok("get", "app/empty"))

	const other = `{"key":"app/a","value":"new"} {"key":"b","value":"AP8=","encoding":"base64","ttl":60}`
	sh.in(other).fails(exitUsage, "this would replace 1 key: app/a: add --yes", "import", "-")
	r := sh.in(other).run("import", "-n", "-")
	require.Equal(t, ran{0, "new        1\ndifferent  1\nsame       0\n", "would replace 1 key: app/a in " + sh.env.getenv("KVDB_STORE") + "\n"}, r)
	require.Equal(t, "hello", sh.ok("get", "app/a"))
	sh.in(other).ok("import", "-y", "-")
	require.Equal(t, "new", sh.ok("get", "app/a"))
	require.Equal(t, "\x00\xff", sh.ok("get", "b"))
	require.Regexp(t, `"ttl":(60|5\d)`, sh.ok("get", "-o", "json", "b"))
	require.Equal(t, "new        0\ndifferent  0\nsame       2\n", sh.in(other).ok("import", "-"))
	require.Equal(t, "new        0\ndifferent  1\nsame       1\n", sh.in(other).ok("import", "-y", "--ttl", "drop", "-"))
	require.Contains(t, sh.ok("get", "-o", "json", "b"), `"ttl":0`)
	require.Equal(t, "new        0\ndifferent  0\nsame       0\n", sh.in("").ok("import", "-"))

	sh.in("base: &b x\nnumber: 8080\nalias: *b\nlong:\n  value: |\n    line\n  ttl: 90\n").ok("import", "-f", "yaml", "-")
	require.Equal(t, "8080", sh.ok("get", "number"))
	require.Equal(t, "x", sh.ok("get", "alias"))
	require.Equal(t, "line\n", sh.ok("get", "long"))
}

func TestImportErrors(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	for text, want := range map[string]string{
		"\xff":                           "standard input: it is not UTF-8",
		"text":                           "line 1: it must have a mapping of keys to values, such as: greeting: hello",
		"a: 1\n\nb: [1]":                 `line 3: key "b": it must be a text, or value and ttl`,
		"a:":                             `key "a": it has no value: write "" for an empty one`,
		"a: {value: x, tll: 1}":          `the field "tll" is not known: a pair has value and ttl`,
		"a: {ttl: 1}":                    `key "a": it must be a text`,
		"a: {value: x, ttl: soon}":       `key "a": `,
		"a: !!binary '*'":                `key "a": illegal base64`,
		"'': x":                          "a pair has no key",
		"a: b\na: c":                     `the key "a" is there twice`,
		"a: \x01":                        "control characters",
		"{\"key\":\"a\"}":                `line 1: key "a" has no value`,
		"[{\"key\":\"a\",\"value\":1}]":  "element 1 of the list at line 1: it is not a pair",
		"[1]":                            "it is not a pair",
		"{\"key\":\"a\",\"valu\":\"\"}":  `unknown field "valu"`,
		"{\"key\":\"a\",\"value\":\"\"}": "",
		"{\"key\":\"b\",\"value\":\"\"}\n\n{\"key\":":                         "line 3: unexpected EOF",
		"{\"key\":\"a\",\"value\":\"*\",\"encoding\":\"base64\"}":             "illegal base64",
		"{\"key\":\"a\",\"value\":\"\",\"encoding\":\"rot13\"}":               `the encoding "rot13" is not known`,
		"{\"key\":\"a\",\"value\":\"\",\"ttl\":-1}":                           "the TTL -1 is negative",
		"{\"key\":\"a\",\"value\":\"\",\"ttl\":9223372036854775807}":          "is too large",
		"[{\"key\":\"a\",\"flags\":0,\"value\":\"not base64\"}]":              "illegal base64",
		"[{\"Key\":\"a\",\"Value\":\"\",\"CreateIndex\":1,\"Session\":\"\"}]": `unknown field "CreateIndex"`,
	} {
		if want == "" {
			continue
		}
		sh.in(text).fails(exitUsage, want, "import", "-y", "-")
	}
	dir := t.TempDir()
	sh.fails(exitUsage, "no such file", "import", filepath.Join(dir, "none"))
	sh.fails(exitUsage, "arguments are missing: use kvdb import FILE", "import")
	sh.in("a: x").fails(exitUsage, "--ttl no: it is keep or drop", "import", "--ttl", "no", "-")
	sh.fails(exitUsage, "--format xml: the formats are", "import", "-f", "xml", "-")
	require.Equal(t, "1", sh.ok("get", "a"), "nothing was written")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "100%"), nil, 0o600))
	sh.fails(exitUsage, `"100%" is not the name of a key: % must be followed by two hexadecimal digits, so write it as %25`, "import", dir)
	require.NoError(t, os.Rename(filepath.Join(dir, "100%"), filepath.Join(dir, valueName)))
	sh.fails(exitUsage, `"%value" must be in the folder of a key`, "import", dir)
	require.NoError(t, os.Remove(filepath.Join(dir, valueName)))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	sh.fails(exitUsage, "link is not a regular file", "import", dir)
	require.NoError(t, os.Remove(filepath.Join(dir, "link")))
	for text, want := range map[string]string{"{": "unexpected end", `{"version":2}`: "has version 2: use a newer kvdb"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, ttlName), []byte(text), 0o600))
		sh.fails(exitUsage, want, "import", dir)
	}
}

// What a store cannot hold is an error before anything is written.
func TestImportDoesNotFit(t *testing.T) {
	sh := newShell(t)
	sh.in("a: x\n'b': y\n\"k\\0\": z").ok("import", "-")
	s := &session{app: &app{}, limits: kvdb.Limits{
		NoTTL: true, NoEmptyValue: true, MaxValue: 3,
		CheckKey: func(key string) (string, error) { return strings.TrimPrefix(key, "/"), nil },
	}}
	pair := &kvdb.KVPair{Key: "/a", Value: []byte("abc")}
	require.NoError(t, s.fit(pair))
	require.Equal(t, "a", pair.Key, "as the store keeps it")
	require.ErrorIs(t, s.fit(&kvdb.KVPair{Key: "a"}), kvdb.ErrEmptyValue)
	require.ErrorIs(t, s.fit(&kvdb.KVPair{Key: "a", Value: []byte("abcd")}), kvdb.ErrTooLarge)
	err := s.fit(&kvdb.KVPair{Key: "a", Value: []byte("abc"), TTL: 60})
	require.ErrorIs(t, err, kvdb.ErrTTLNotSupported)
	_, message := exitOf(t.Context(), err)
	require.Contains(t, message, "has no TTLs: use --ttl drop")
}

// Whatever is imported without an error is what an export of it gives back.
func FuzzImport(f *testing.F) {
	for _, value := range oddValues[:19] {
		f.Add([]byte(value), formatYAML)
	}
	f.Add([]byte(consulExport), formatConsul)
	f.Add([]byte("a: {value: x, ttl: 60}\n? |\n  k\n: !!binary AP8="), "")
	f.Add([]byte(`[{"key":"a","value":"AP8=","encoding":"base64","ttl":60}]{"key":"b","value":""}`), "")
	f.Fuzz(func(t *testing.T, text []byte, format string) {
		pairs, err := parsePairs(text, format)
		if err != nil {
			return
		}
		for _, pair := range pairs {
			entry, err := formatEntry(pair)
			require.NoError(t, err)
			object, err := encodeJSON(recordOf(pair))
			require.NoError(t, err)
			for _, exported := range [][]byte{entry, object} {
				read, err := parsePairs(exported, "")
				require.NoError(t, err, "%q", exported)
				require.Equal(t, []*kvdb.KVPair{{Key: pair.Key, Value: append([]byte{}, pair.Value...), TTL: pair.TTL, Action: kvdb.KVSet}}, read, "%q", exported)
			}
		}
	})
}

// The path of a key is safe, and gives the key back.
func FuzzFilePath(f *testing.F) {
	for _, key := range oddKeys {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		file := filePath(key)
		require.True(t, fs.ValidPath(file), file)
		require.NotContains(t, "/"+file, "/.")
		got, err := parsePath(file)
		require.NoError(t, err)
		require.Equal(t, key, got)
	})
}

func FuzzParsePath(f *testing.F) {
	for _, name := range []string{"%", "%2", "%zz", "%2E", "% 1", "%+1", "a/%value", "%value"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if key, err := parsePath(name); err == nil && key != "" {
			again, err := parsePath(filePath(key))
			require.NoError(t, err)
			require.Equal(t, key, again)
		}
	})
}
