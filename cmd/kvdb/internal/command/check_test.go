package command

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
)

// Each rule finds the pair that breaks it.
func TestCheckPair(t *testing.T) {
	s := &session{limits: kvdb.Limits{CheckKey: func(key string) (string, error) {
		if strings.Contains(key, "\x00") {
			return "", kvdb.ErrIllegal
		}
		return strings.ReplaceAll(key, "//", "/"), nil
	}}}
	good := kvdb.KVPair{Key: "b", CreatedIndex: 2, ModifiedIndex: 3, KVDBIndex: 3}
	for want, change := range map[string]func(p *kvdb.KVPair){
		"":                                  func(*kvdb.KVPair) {},
		`comes after "a": the keys`:         func(p *kvdb.KVPair) { p.Key = "a" },
		"was created at index 0":            func(p *kvdb.KVPair) { p.CreatedIndex = 0 },
		"created at index 4 and modified":   func(p *kvdb.KVPair) { p.CreatedIndex = 4 },
		"at index 3, but the store is at 2": func(p *kvdb.KVPair) { p.KVDBIndex = 2 },
		"has a TTL of -1 s":                 func(p *kvdb.KVPair) { p.TTL = -1 },
		"is illegal: Illegal operation":     func(p *kvdb.KVPair) { p.Key = "b\x00" },
		`because it stands for "b/c"`:       func(p *kvdb.KVPair) { p.Key = "b//c" },
	} {
		pair := good
		change(&pair)
		got := s.problem(&kvdb.KVPair{Key: "a"}, &pair)
		require.Contains(t, got, want)
		require.Equal(t, want == "", got == "", got)
	}
	require.Empty(t, s.problem(nil, &good))
	s.limits.CheckKey = nil
	require.Empty(t, s.problem(nil, &good))
}

func TestFindings(t *testing.T) {
	var text strings.Builder
	a := &app{Env: Env{Stdout: &text}}
	f := findings{Store: "mem:", Bytes: 2048}
	require.NoError(t, f.err())
	for n := range maxProblems + 2 {
		f.add("problem %d", n)
	}
	require.EqualError(t, f.err(), "1002 problems in mem:")
	require.ErrorIs(t, f.err(), errDifference)
	for format, want := range map[string]string{
		"table": "problem   2 more\n", "raw": "problem 0\nproblem 1\n", "json": `"unlisted":2}`,
	} {
		a.flags.output = format
		out, err := a.newOutput()
		require.NoError(t, err)
		require.NoError(t, out.findings(&f))
		require.NoError(t, out.flush())
		require.Contains(t, text.String(), want)
	}
}

func TestCheckMemory(t *testing.T) {
	sh := newShell(t)
	require.Equal(t, "PROPERTY  VALUE\nstore     mem:\nkeys      0\nsize      0 B\nproblems  none\n", sh.ok("-s", "mem:", "check"))
	require.Empty(t, sh.ok("-s", "mem:", "check", "-o", "raw"))
	var f findings
	require.NoError(t, json.Unmarshal([]byte(sh.ok("-s", "mem:", "check", "-o", "json")), &f))
	require.Equal(t, findings{Store: "mem:", Keys: new(int64), Problems: []string{}}, f)
	sh.fails(exitUsage, "too many arguments: use kvdb check", "check", "a")
}

// A damaged bolt file is found out, and not changed.
func TestCheckFile(t *testing.T) {
	sh := newShell(t)
	path := filepath.Join(t.TempDir(), "a.db")
	url := "bolt:" + path
	for _, key := range []string{"a", "b", "c"} {
		sh.ok("-s", url, "put", key, "value of "+key)
	}
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	sh.set("KVDB_STORE", url)
	require.Regexp(t, `^PROPERTY +VALUE\nstore +bolt:.*\nsize +\d.*\nproblems  none\n$`, sh.ok("check"))
	require.Empty(t, sh.ok("check", "-o", "raw"))

	page := bytes.Index(good, []byte("value of a")) / os.Getpagesize()
	for want, damage := range map[string]func(file []byte) []byte{
		"it is cut off: ":                func(file []byte) []byte { return file[:2*os.Getpagesize()] },
		"it is of the unknown kind 0x77": func(file []byte) []byte { file[page*os.Getpagesize()+8] = 0x77; return file },
		"invalid database":               func([]byte) []byte { return bytes.Repeat([]byte("text "), 10000) },
	} {
		damaged := damage(bytes.Clone(good))
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		r := sh.run("check", "-o", "json")
		require.Equal(t, exitNo, r.code, "%s: %s", want, r.stderr)
		require.Contains(t, r.stderr, "kvdb: 1 problem in bolt:")
		var f findings
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &f))
		require.Len(t, f.Problems, 1)
		require.Contains(t, f.Problems[0], want)
		require.Contains(t, sh.run("check").stdout, "\nproblem   "+f.Problems[0]+"\n")
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(damaged, after), "%s: the file is as before", want)
	}

	require.NoError(t, os.WriteFile(path, good, 0o600))
	other, err := bbolt.Open(path, 0o600, nil) // as another process
	require.NoError(t, err)
	sh.fails(exitConnection, "is in use by another process; end that process", "check")
	require.NoError(t, other.Close())
	require.NoError(t, os.Remove(path))
	sh.fails(exitUsage, "no such file", "check")
}
