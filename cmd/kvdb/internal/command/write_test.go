package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCreateAndUpdate(t *testing.T) {
	sh := newShell(t)
	sh.fails(exitNo, `Key not found; "kvdb create" writes a key that does not exist`, "update", "a", "1")
	sh.ok("create", "a", "1")
	sh.fails(exitConflict, `"kvdb update" changes a key that exists`, "create", "a", "2")
	require.Equal(t, "1", sh.ok("get", "a"))
	sh.ok("update", "a", "3")
	require.Equal(t, "3", sh.ok("get", "a"))
	sh.fails(exitUsage, "arguments are missing", "create")
	sh.fails(exitIllegal, "Illegal operation", "create", "", "1")
}

func TestCas(t *testing.T) {
	sh := newShell(t)
	sh.ok("cas", "a", "1", "--modified", "0")
	sh.fails(exitConflict, "read the key and try again", "cas", "a", "2", "--modified", "0")
	require.Contains(t, sh.ok("cas", "a", "2", "--modified", "1", "--created", "1", "-o", "json"), `"modified":2`)
	sh.fails(exitConflict, "Key Index mismatch", "cas", "a", "3", "--modified", "1")
	sh.ok("cas", "a", "3", "--value", "2", "--ttl", "1h")
	sh.fails(exitConflict, "Value mismatch", "cas", "a", "4", "--value", "2")
	require.Equal(t, "3", sh.ok("get", "a"))
	require.Equal(t, "1h0m0s\n", steady(sh.ok("ttl", "a")))
	sh.ok("cas", "a", "4", "--exists")
	require.Equal(t, "none\n", sh.ok("ttl", "a"))
	sh.fails(exitNo, "Key not found", "cas", "b", "4", "--exists")
	sh.fails(exitConflict, "Value mismatch", "cas", "a", "5", "--value", "")
	sh.fails(exitUsage, "no condition is given", "cas", "a", "5")
	sh.fails(exitUsage, "invalid argument", "cas", "a", "5", "--modified", "x")
}

func TestRm(t *testing.T) {
	sh := newShell(t)
	fill := func(keys ...string) {
		for _, key := range keys {
			sh.ok("put", key, "v")
		}
	}
	fill("a", "b", "c", "dir/x", "dir/y/z", "dirt", "dir/_hidden")
	sh.ok("rm", "a")
	sh.fails(exitNo, `key "a": Key not found`, "rm", "a")
	r := sh.run("rm", "a", "b", "missing")
	require.Equal(t, exitNo, r.code)
	require.Contains(t, r.stderr, `key "a": Key not found; key "missing": Key not found`)
	require.Equal(t, "c\ndir/_hidden\ndir/x\ndir/y/z\ndirt\n", sh.ok("ls", "-r"), "b is gone")
	sh.ok("rm", "-f", "a", "b")

	require.Equal(t, "would delete 1 key: c in "+sh.env.Environ[1][len("KVDB_STORE="):]+"\n", sh.run("rm", "-n", "c").stderr)
	require.Equal(t, "v", sh.ok("get", "c"))
	require.Contains(t, sh.ok("rm", "-o", "jsonl", "c"), `"key":"c"`)

	sh.fails(exitUsage, "this would delete 3 keys: dir/_hidden, dir/x, dir/y/z: add --yes", "rm", "-r", "dir")
	require.Contains(t, sh.run("rm", "-r", "--dry-run", "dir").stderr, "would delete 3 keys: dir/_hidden, dir/x, dir/y/z in bolt:")
	asked := sh.on(80).in("n\n").run("rm", "-r", "dir")
	require.Equal(t, exitUsage, asked.code)
	require.Contains(t, asked.stderr, "This will delete 3 keys")
	require.Equal(t, "dir/x\n", sh.ok("find", "dir", "--name", "x"))
	require.Equal(t, exitOK, sh.on(80).in("y\n").run("rm", "-r", "dir").code)
	require.Equal(t, "dirt\n", sh.ok("ls", "-r"))
	sh.fails(exitUsage, "add --all if you mean that", "rm", "-r", "--yes", "")
	sh.ok("rm", "-r", "--yes", "--all", "")
	require.Empty(t, sh.ok("ls", "-r"))
	sh.ok("rm", "-r", "nothing")
}

func TestRmWithCondition(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	sh.fails(exitConflict, "Key Index mismatch", "rm", "a", "--modified", "9")
	sh.fails(exitConflict, "Value mismatch", "rm", "a", "--value", "2")
	sh.fails(exitUsage, "use --value or the indexes", "rm", "a", "--value", "1", "--created", "1")
	sh.fails(exitUsage, "a condition is for one key", "rm", "-r", "a", "--value", "1")
	sh.fails(exitUsage, "a condition is for one key", "rm", "a", "b", "--value", "1")
	sh.ok("rm", "a", "--value", "1")
	sh.ok("put", "a", "1")
	sh.ok("rm", "a", "--modified", "3", "--created", "3")
	require.Empty(t, sh.ok("ls"))
}

func TestTTL(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	require.Equal(t, "none\n", sh.ok("ttl", "a"))
	sh.ok("ttl", "a", "1h")
	require.Equal(t, "1h0m0s\n", steady(sh.ok("ttl", "a")))
	require.Regexp(t, `^{"key":"a","ttl":3[56]\d\d}\n$`, sh.ok("ttl", "-o", "json", "a"))
	require.Equal(t, "1", sh.ok("get", "a"))
	sh.ok("ttl", "a", "0")
	require.Equal(t, "none\n", sh.ok("ttl", "a"))
	sh.fails(exitNo, "Key not found", "ttl", "b")
	sh.fails(exitNo, "Key not found", "ttl", "b", "1h")
	sh.fails(exitUsage, `"long" is not a duration: use one such as 90s`, "ttl", "a", "long")
	sh.fails(exitUsage, "whole seconds", "ttl", "a", "1ms")
}

// editor returns a shell whose editor runs the script, in which $1 is the file.
func editor(t *testing.T, sh *shell, script string) *shell {
	path := filepath.Join(t.TempDir(), "editor")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	with := *sh
	with.env.Environ = append(with.env.Environ[:len(sh.env.Environ):len(sh.env.Environ)], "EDITOR="+path, "TMPDIR="+t.TempDir(), "PATH="+os.Getenv("PATH"))
	return &with
}

func TestEdit(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	sh := newShell(t)
	sh.ok("put", "--ttl", "1h", "a.txt", "old")
	editor(t, sh, `case "$1" in *.txt) ;; *) exit 9;; esac; grep -q '^old$' "$1" && echo new > "$1"`).ok("edit", "a.txt")
	require.Equal(t, "new", sh.ok("get", "a.txt"), "the newline of the editor is left out")
	require.Equal(t, "1h0m0s\n", steady(sh.ok("ttl", "a.txt")))
	r := editor(t, sh, "true").run("edit", "a.txt")
	require.Equal(t, ran{exitOK, "", "the value was not changed\n"}, r)
	sh.ok("put", "lines", "a\n")
	editor(t, sh, `echo b >> "$1"`).ok("edit", "lines")
	require.Equal(t, "a\nb\n", sh.ok("get", "lines"))

	sh.fails(exitNo, "--create edits a key that does not exist", "edit", "new")
	editor(t, sh, `echo hello > "$1"`).ok("edit", "--create", "new")
	require.Equal(t, "hello", sh.ok("get", "new"))
	editor(t, sh, "exit 3").fails(exitOther, "nothing was changed; set EDITOR", "edit", "new")
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, left, "no file is left")
}

// An editor of a value that another one writes meanwhile sees both, and loses nothing.
func TestEditConflict(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	sh := newShell(t)
	sh.ok("put", "a", "old")
	// The store is open in this process while the editor runs, so another run here can write.
	fifo := filepath.Join(t.TempDir(), "edited")
	with := editor(t, sh, `echo mine > "$1"; : > `+fifo+`; while [ -e `+fifo+` ]; do sleep 0.01; done`)
	r := with.start("edit", "a")
	require.Eventually(t, func() bool { _, err := os.Stat(fifo); return err == nil }, patience, patience/1000)
	sh.ok("put", "a", "theirs\x1b")
	require.NoError(t, os.Remove(fifo))
	require.Equal(t, exitConflict, <-r.over)
	stderr, _ := r.stderr.read()
	require.Contains(t, stderr, "--- in the store now, at index 2\ntheirs\\x1b\n--- as you edited it\nmine\n---\n")
	_, file, found := strings.Cut(strings.TrimSpace(stderr), "the edited value is in ")
	require.True(t, found, stderr)
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "mine\n", string(kept))
	require.Equal(t, "theirs\x1b", sh.ok("get", "a"))
}
