package command

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// complete returns what the shells are offered.
func complete(sh *shell, args ...string) []string {
	r := sh.run(append([]string{"__complete"}, args...)...)
	require.Equal(sh.t, exitOK, r.code, r.stderr)
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	require.True(sh.t, strings.HasPrefix(lines[len(lines)-1], ":"), "the last line is the directive")
	return lines[:len(lines)-1]
}

func TestCompletion(t *testing.T) {
	sh := newShell(t)
	for _, key := range []string{"app/colour", "app/size/x", "app/size/y", "b", "app\x1b", "app$(reboot)", "app b", "app`x`", "app\xff"} {
		sh.ok("put", key, "1")
	}
	require.Equal(t, []string{"app/", "b"}, complete(sh, "get", ""))
	require.Equal(t, []string{"app/colour", "app/size/"}, complete(sh, "get", "app/"))
	require.Equal(t, []string{"app/size/x", "app/size/y"}, complete(sh, "get", "app/size/"))
	require.Empty(t, complete(sh, "get", "none"))
	require.Equal(t, []string{"get\tPrint the value of a key"}, complete(sh, "ge"))
	require.Contains(t, strings.Join(complete(sh, "put", "--t"), "\n"), "--ttl")
	require.Equal(t, []string{"bash", "zsh", "fish", "powershell"}, complete(sh, "completion", ""))
}

// A store that does not answer, is missing or needs a password offers nothing, soon, and
// nothing is asked for.
func TestCompletionDoesNotWait(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	for _, store := range []string{
		"etcd://127.0.0.1:1", "etcd://me@127.0.0.1:1", "zk://127.0.0.1:1?ACLToken=cmd:touch%20" + mark, "@none", "nonsense", "bolt:" + mark,
	} {
		sh := newShell(t).on(80)
		began := time.Now()
		require.Empty(t, complete(sh, "-s", store, "get", ""), store)
		require.Less(t, time.Since(began), 5*completionTime, store) // the bound, on a busy machine
		require.NoFileExists(t, mark)
	}
}

func TestCompletionScripts(t *testing.T) {
	sh := newShell(t)
	for _, name := range []string{"bash", "zsh", "fish", "powershell"} {
		require.Contains(t, sh.ok("completion", name), "__complete", name)
	}
	sh.fails(exitUsage, `there is no completion for "sh": use bash|zsh`, "completion", "sh")
	sh.fails(exitUsage, "arguments are missing", "completion")
}
