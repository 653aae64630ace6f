package command

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ends waits for the end of the run and returns its exit code.
func (r *running) ends() int {
	r.t.Helper()
	select {
	case code := <-r.over:
		return code
	case <-time.After(patience):
		stdout, _ := r.stdout.read()
		stderr, _ := r.stderr.read()
		require.FailNow(r.t, "the command must end", "%s%s", stdout, stderr)
		return 0
	}
}

// watches starts a watch that shows what exists, so that it is known when it has begun.
func (sh *shell) watches(args ...string) *running {
	return sh.start(append([]string{"watch", "--initial"}, args...)...)
}

func TestWatch(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "app/a", "1")
	sh.ok("put", "b", "1")
	r := sh.watches("app/")
	await(t, &r.stdout, "initial app/a  1\n")
	sh.ok("put", "app/a", strings.Repeat("long", 50))
	sh.ok("put", "b", "2")
	sh.in(binary).ok("put", "app/"+controlKey)
	sh.ok("rm", "app/a")
	text := await(t, &r.stdout, "delete")
	for line := range strings.Lines(text) {
		require.LessOrEqual(t, width(strings.TrimSuffix(line, "\n")), defaultWidth)
	}
	require.Contains(t, text, "        set     app/a  longlong")
	require.Contains(t, text, `create  app/bad\n\x1b[2Jkey  \x00\xff\x1b[31m`+"\n")
	require.NotContains(t, text, " b ")
	r.signals <- syscall.SIGINT
	require.Equal(t, 130, r.ends())

	r = sh.watches("-o", "jsonl", "--count", "2", "b")
	await(t, &r.stdout, `{"action":"initial","key":"b","value":"2","encoding":"utf-8","created":2,`)
	sh.ok("put", "bc", "other key")
	sh.ok("rm", "b")
	require.Equal(t, exitOK, r.ends())
	text, _ = r.stdout.read()
	require.Contains(t, text, `{"action":"delete","key":"b"`)
	require.NotContains(t, text, "other key", "one key is watched")
	r = sh.watches("--prefix", "--count", "1", "b")
	require.Equal(t, exitOK, r.ends())
	require.Contains(t, await(t, &r.stdout, "bc"), "initial bc  other key\n")

	sh.fails(exitUsage, "--on-error x: use stop or continue", "watch", "--on-error", "x")
	sh.fails(exitUsage, "too many arguments", "watch", "a", "b")
}

func TestWatchRunsCommand(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "value of a")
	r := sh.watches("--count", "2", "--", "sh", "-c", `echo "$KVDB_ACTION $KVDB_KEY $KVDB_INDEX $(cat) $0"`, "no shell: $HOME")
	await(t, &r.stdout, "initial a 1 value of a no shell: $HOME\n")
	sh.ok("put", "b", "x")
	require.Equal(t, exitOK, r.ends())
	require.Regexp(t, `create b \d+ x`, await(t, &r.stdout, "create b"))

	r = sh.watches("--", "sh", "-c", "exit 3")
	require.Equal(t, exitOther, r.ends())
	await(t, &r.stderr, `the command ended with exit code 3 for key "a" at index 1; --on-error continue goes on`)
	r = sh.watches("--on-error", "continue", "--count", "2", "--", "false")
	require.Equal(t, exitOK, r.ends())
	await(t, &r.stderr, `exit code 1 for key "b"`)
	r = sh.watches("--", "no-such-command")
	require.Equal(t, exitNoCommand, r.ends())

	// A signal ends the command too.
	r = sh.watches("--", "sh", "-c", "echo started; exec sleep 1000")
	await(t, &r.stdout, "started")
	r.signals <- syscall.SIGTERM
	require.Equal(t, 143, r.ends())
}

// A watch goes on where it ended, also if its command has failed for a change.
func TestWatchResumes(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	keeper := sh.watches() // the history begins when a process opens the file
	await(t, &keeper.stdout, "initial a")
	state := filepath.Join(t.TempDir(), "state")
	r := sh.start("watch", "--resume", state, "--count", "1")
	require.Eventually(t, func() bool { _, err := os.Stat(state); return err == nil }, patience, patience/1000)
	sh.ok("put", "a", "2")
	require.Equal(t, exitOK, r.ends())
	await(t, &r.stdout, "set     a  2")
	sh.ok("put", "a", "3")
	sh.ok("put", "a", "4")
	r = sh.start("watch", "--resume", state, "--count", "2", "--", "false")
	require.Equal(t, exitOther, r.ends())
	r = sh.start("watch", "--resume", state, "--count", "2")
	require.Equal(t, exitOK, r.ends())
	text, _ := r.stdout.read()
	changes := regexp.MustCompile(`^\d+ +set     a  3\n(\d+) +set     a  4\n$`).FindStringSubmatch(text)
	require.NotNil(t, changes, text)
	sh.ok("put", "a", "5")
	r = sh.start("watch", "--since", changes[1], "--count", "1")
	require.Equal(t, exitOK, r.ends())
	await(t, &r.stdout, "set     a  5")
	keeper.signals <- syscall.SIGINT
	keeper.ends()

	require.NoError(t, os.WriteFile(state, []byte("x"), 0o600))
	sh.fails(exitUsage, "does not have an index: delete it to begin anew", "watch", "--resume", state)
	sh.fails(exitUsage, "--resume: ", "watch", "--resume", t.TempDir())
}
