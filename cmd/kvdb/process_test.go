package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patience = 30 * time.Second

// kvdb returns a command that runs the program on a new bolt file.
func kvdb(t *testing.T, args ...string) *exec.Cmd {
	dir := t.TempDir()
	command := exec.Command(filepath.Join(programs, "kvdb"), args...)
	command.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "KVDB_STORE=bolt:" + filepath.Join(dir, "a.db")}
	return command
}

// started starts the command and returns the first line that it prints.
func started(t *testing.T, command *exec.Cmd) string {
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill() }) // it may have ended
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

func TestSignals(t *testing.T) {
	for signal, code := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143} {
		command := kvdb(t, "watch", "--initial", "-o", "jsonl", "a")
		put := exec.Command(command.Path, "put", "a", "1")
		put.Env = command.Env
		require.NoError(t, put.Run())
		require.Contains(t, started(t, command), `"initial"`)
		require.NoError(t, command.Process.Signal(signal))
		var exit *exec.ExitError
		require.ErrorAs(t, command.Wait(), &exit)
		require.Equal(t, code, exit.ExitCode())
	}
}

// Nothing runs under a lock that its holder no longer keeps alive.
func TestKillEndsTheCommandUnderTheLock(t *testing.T) {
	command := kvdb(t, "lock", "k", "--", "sh", "-c", "echo $$; exec sleep 1000")
	pid := started(t, command)
	require.NoError(t, command.Process.Kill())
	require.Error(t, command.Wait())
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, patience, patience/1000)
}

// On a terminal the command under the lock reads what is typed, and so does the shell that
// comes after it.
func TestTerminal(t *testing.T) {
	command := kvdb(t)
	shell := `kvdb lock k -- sh -c 'read typed; echo first $typed'; read typed; echo second $typed; kvdb put a 1; kvdb get a; kvdb get a missing`
	script := exec.Command("script", "-qec", shell, "/dev/null")
	script.Env = append(command.Env, "TERM=xterm", "SHELL=/bin/sh", "PATH="+filepath.Dir(command.Path)+":"+os.Getenv("PATH"))
	script.Stdin = strings.NewReader("one\ntwo\n")
	output, err := script.CombinedOutput()
	require.Error(t, err, "the last command fails")
	text := strings.ReplaceAll(string(output), "\r", "")
	require.Contains(t, text, "first one\n")
	require.Contains(t, text, "second two\n1\n")
	require.Contains(t, text, "\x1b[1mKEY")
	require.Contains(t, text, "\x1b[31mkvdb:\x1b[0m key \"missing\": Key not found")
}
