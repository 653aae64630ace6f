package command

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLock(t *testing.T) {
	sh := newShell(t)
	require.Equal(t, ran{exitOK, "token 1 typed\n", ""},
		sh.in("typed").run("lock", "k", "--", "sh", "-c", `echo token $KVDB_LOCK_TOKEN $(cat)`))
	require.Equal(t, ran{7, "", ""}, sh.run("lock", "k", "--", "sh", "-c", "exit 7"))
	require.Equal(t, 137, sh.run("lock", "k", "--", "sh", "-c", "kill -9 $$").code)
	sh.fails(exitNoCommand, "no-such-command: there is no such command", "lock", "k", "--", "no-such-command")
	sh.fails(exitNotExecutable, "cannot be executed", "lock", "k", "--", os.TempDir())
	sh.fails(exitUsage, "a key and a command are needed: use kvdb lock KEY -- COMMAND", "lock", "k")
	sh.fails(exitUsage, "a key and a command are needed", "lock", "k", "true")
	sh.fails(exitUsage, "a key and a command are needed", "lock", "--", "true")
	sh.fails(exitUsage, "must not be negative", "lock", "--try=-1s", "k", "--", "true")
	sh.fails(exitIllegal, "Illegal operation", "lock", "", "--", "true")
}

func TestLockIsHeld(t *testing.T) {
	sh := newShell(t)
	r := sh.start("lock", "--id", "me", "k", "--", "sh", "-c", "echo held; exec sleep 1000")
	await(t, &r.stdout, "held")
	require.Equal(t, "KEY  HELD  HOLDER\nk    yes   me\n", sh.ok("lock", "status", "k"))
	sh.fails(exitLock, `the lock is taken`, "lock", "--try", "0s", "k", "--", "true")
	sh.fails(exitLock, `"kvdb lock status" shows the holder`, "lock", "--try", "10ms", "k", "--", "true")

	waiting := sh.start("lock", "k", "--", "echo", "obtained")
	waiting.signals <- syscall.SIGTERM
	require.Equal(t, 143, waiting.ends(), "a signal ends the waiting")
	waiting = sh.start("lock", "k", "--", "echo", "obtained")
	r.signals <- syscall.SIGTERM
	require.Equal(t, 143, r.ends(), "the command has got the signal")
	require.Equal(t, exitOK, waiting.ends())
	await(t, &waiting.stdout, "obtained")
	require.Equal(t, ran{exitNo, `{"held":false,"holder":"","key":"k"}` + "\n", ""}, sh.run("lock", "status", "-o", "json", "k"))
}

// Signals go to the command, which may live on.
func TestLockPassesSignals(t *testing.T) {
	sh := newShell(t)
	r := sh.start("lock", "k", "--", "sh", "-c", `trap 'echo got INT' INT; trap 'echo got USR1; exit 5' USR1; echo ready; while :; do sleep 0.01; done`)
	await(t, &r.stdout, "ready")
	r.signals <- syscall.SIGINT
	await(t, &r.stdout, "got INT")
	r.signals <- syscall.SIGUSR1
	require.Equal(t, 5, r.ends())
	await(t, &r.stdout, "got USR1")
}

// A lock that is held for too long ends the command, with KILL if TERM does not.
func TestLockHold(t *testing.T) {
	sh := newShell(t)
	mark := filepath.Join(t.TempDir(), "term")
	r := sh.run("lock", "--hold", "100ms", "--grace", "200ms", "k", "--",
		"sh", "-c", `trap 'echo term > `+mark+`' TERM; while :; do sleep 0.01; done`)
	require.Equal(t, exitLock, r.code)
	require.Contains(t, r.stderr, `the lock on "k" was held for 100ms, so the command was ended`)
	require.FileExists(t, mark, "TERM comes first")
	require.Equal(t, exitNo, sh.run("lock", "status", "k").code, "the lock is released")
	require.Equal(t, 1, strings.Count(r.stderr, "was ended"))
}

// What the command has started is ended with it.
func TestLockEndsDescendants(t *testing.T) {
	sh := newShell(t)
	r := sh.start("--timeout", "1s", "lock", "--grace", "100ms", "k", "--", "sh", "-c", `sleep 1000 & echo pid $!; wait`)
	text := await(t, &r.stdout, "\n")
	require.Equal(t, exitConnection, r.ends())
	pid := strings.TrimSpace(strings.TrimPrefix(text, "pid "))
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, patience, patience/1000)
}
