package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/portworx/kvdb"
)

// Every command has what its page needs, and its help fits 80 columns.
func TestCommandsAreDocumented(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		require.NotEmpty(t, c.Short, c.CommandPath())
		require.False(t, strings.HasSuffix(c.Short, "."), c.CommandPath())
		if c.Runnable() && c.HasParent() {
			require.NotNil(t, c.Args, "%s says which arguments it takes", c.CommandPath())
			require.NotNil(t, c.ValidArgsFunction, "%s completes its arguments", c.CommandPath())
		}
		sh := newShell(t)
		for line := range strings.Lines(sh.ok(append(strings.Fields(c.CommandPath())[1:], "--help")...)) {
			require.LessOrEqual(t, width(strings.TrimSuffix(line, "\n")), defaultWidth, "%s: %s", c.CommandPath(), line)
		}
		for _, below := range c.Commands() {
			visit(below)
		}
	}
	visit(Root())
}

func TestExitCodes(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{syscall.SIGTERM})
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{nil, exitOK, ""},
		{about("a", kvdb.ErrNotFound), exitNo, `key "a": Key not found; "kvdb ls -r" lists the keys`},
		{usagef("wrong"), exitUsage, "wrong"},
		{fmt.Errorf("x: %w", kvdb.ErrNoConnection), exitConnection, "x: No server connection; check that"},
		{context.DeadlineExceeded, exitConnection, "try a longer --timeout"},
		{kvdb.ErrModified, exitConflict, "read the key and try again"},
		{kvdb.ErrTooLarge, exitIllegal, "too large"},
		{errors.Join(kvdb.ErrUnknownOutcome, kvdb.ErrNoConnection), exitUnknown, "read the key to find out"},
		{kvdb.ErrLogin, exitDenied, "check the user"},
		{kvdb.ErrInvalidLock, exitLock, "lock"},
		{wrap(errLock, "taken: %w", kvdb.ErrExist), exitLock, "taken: Key already exists"},
		{wrap(errIncomplete, "3 keys are missing"), exitIncomplete, "3 keys are missing"},
		{os.ErrPermission, exitOther, "permission denied"},
		{exitError{42, ""}, 42, ""},
		{advise(kvdb.ErrNotFound, "look elsewhere"), exitNo, "Key not found; look elsewhere"},
		{errors.New("a\n\tb\x1b[31m\n"), exitOther, `a; b\x1b[31m`},
	} {
		code, message := exitOf(t.Context(), c.err)
		require.Equal(t, c.code, code, c.err)
		require.Contains(t, message, c.want)
		require.NotContains(t, message, "\n")
	}
	code, message := exitOf(ctx, context.Canceled)
	require.Equal(t, 143, code)
	require.Equal(t, "ended by signal terminated", message)
	code, message = exitOf(ctx, kvdb.ErrUnknownOutcome)
	require.Equal(t, 143, code)
	require.Contains(t, message, "Outcome of the write is unknown", "a person must know that")
}

func TestUsageErrors(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	sh.fails(exitUsage, `"gte" is not a command: did you mean "get"?`, "gte", "a")
	sh.fails(exitUsage, `"kvdb --help" lists the commands`, "frobnicate")
	sh.fails(exitUsage, "arguments are missing: use kvdb get KEY...", "get")
	sh.fails(exitUsage, "too many arguments: use kvdb put KEY [VALUE]", "put", "a", "b", "c")
	sh.fails(exitUsage, `unknown flag: --frob: see "kvdb get --help"`, "get", "--frob")
	sh.fails(exitUsage, "after -- no argument is a flag", "put", "a", "-1")
	sh.fails(exitUsage, "-o xml: the formats are table, json, jsonl, raw", "get", "-o", "xml", "a")
	require.Contains(t, sh.ok(), "Usage:")
}

func TestStoreIsChosen(t *testing.T) {
	sh := newShell(t)
	dir := t.TempDir()
	other := "bolt:" + filepath.Join(dir, "other.db")
	sh.ok("-s", other, "put", "a", "of flag")
	sh.ok("put", "a", "of environment")
	require.Equal(t, "of flag", sh.ok("-s", other, "get", "a"))
	require.Equal(t, "of environment", sh.ok("get", "a"))

	config := filepath.Join(dir, "kvdb", "config.yaml")
	require.NoError(t, os.MkdirAll(filepath.Dir(config), 0o700))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "current: c\ncontexts: {c: {store: %q, protected: true}}", other), 0o600))
	sh.set("XDG_CONFIG_HOME", dir)
	require.Equal(t, "of flag", sh.ok("-s", "@c", "get", "a"))
	sh.fails(exitUsage, `-s: there is no context "d": the contexts are ["c"]`, "-s", "@d", "get", "a")
	sh.set("KVDB_STORE", "@c")
	require.Equal(t, "of flag", sh.ok("get", "a"))
	sh.set("KVDB_STORE", "")
	require.Equal(t, "of flag", sh.ok("get", "a"), "the current context")

	sh.fails(exitUsage, "context c is protected: add --unprotect c to change it", "put", "a", "x")
	sh.ok("put", "--unprotect", "c", "a", "y")
	typed := sh.on(80).in("c\n").run("put", "a", "z")
	require.Equal(t, ran{0, "", "Context c is protected. Type its name to change it: "}, typed)
	require.Equal(t, exitUsage, sh.on(80).in("d\n").run("put", "a", "x").code)
	require.Equal(t, "z", sh.ok("get", "a"))

	sh.set("XDG_CONFIG_HOME", t.TempDir())
	sh.fails(exitUsage, "no store is given: use -s URL", "get", "a")
	sh.set("XDG_CONFIG_HOME", "")
	sh.set("HOME", "")
	sh.fails(exitUsage, "set HOME or XDG_CONFIG_HOME", "get", "a")
}

func TestStoreErrors(t *testing.T) {
	sh := newShell(t)
	missing := filepath.Join(t.TempDir(), "typo.db")
	sh.fails(exitUsage, "there is no file "+missing, "-s", "bolt:"+missing, "get", "a")
	require.NoFileExists(t, missing, "reading creates no file")
	sh.fails(exitUsage, `did you mean "RetryCount"?`, "-s", "etcd://127.0.0.1:1?RetryCont=1", "get", "a")
	sh.fails(exitUsage, "is not a number from 0 to 65535", "-s", "etcd://127.0.0.1:99999", "get", "a")
	if !testing.Short() { // 10 s
		sh.fails(exitConnection, "check that the store runs", "-s", "etcd://127.0.0.1:1", "get", "a")
	}
	sh.fails(exitConnection, "try a longer --timeout", "-s", "etcd://127.0.0.1:1", "--timeout", "10ms", "get", "a")
	sh.fails(exitUsage, "the environment has no variable NO", "-s", "etcd://me@h?Password=env:NO", "get", "a")
	sh.fails(exitUsage, "Password is not given: add ?Password=file:PATH", "-s", "etcd://me@h", "get", "a")
}

// A bolt file belongs to one process at a time. The error of another one says so.
func TestFileOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	other, err := bbolt.Open(path, 0o600, nil) // as another process: this one shares the file with itself
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	newShell(t).fails(exitConnection, "is in use by another process; end that process", "-s", "bolt:"+path, "get", "a")
}

// A password is asked for on a terminal, and shown nowhere.
func TestPasswordIsAskedFor(t *testing.T) {
	r := newShell(t).on(80).in("hunter2\n").run("-s", "etcd://me@127.0.0.1:1", "--timeout", "300ms", "-v", "get", "a")
	require.Equal(t, exitConnection, r.code)
	require.Contains(t, r.stderr, "Password: ")
	require.NotContains(t, r.stderr, "hunter2")
}

func TestSignalEndsTheCommand(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		r := newShell(t).start("-s", "etcd://127.0.0.1:1", "get", "a")
		r.signals <- signal
		select {
		case got := <-r.over:
			require.Equal(t, code, got)
		case <-time.After(patience):
			require.FailNow(t, "the command must end")
		}
		stderr, _ := r.stderr.read()
		require.Equal(t, "kvdb: ended by signal "+signal.String()+"\n", stderr)
	}
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second
