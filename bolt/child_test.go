package bolt

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// childEnv is the environment variable that names the function in children that a child
// process runs. A test starts its own binary as a child.
const childEnv = "KVDB_BOLT_TEST_CHILD"

// children are the functions that child processes run. They get their arguments in
// os.Args[1:], and report line by line on the standard output.
var children = map[string]func(){
	"hold":           func() { holdFile(newKvdb) },
	"hold read-only": func() { holdFile(newReadOnly) },
	"write":          writeUntilKilled,
	"migrate":        migrateUntilKilled,
	"fill":           fillDisk,
	"defragment":     defragmentFull,
	"no room":        migrateWithoutRoom,
}

// child is a process that a test started.
type child struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader
}

func startChild(t testing.TB, name string, args ...string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0], args...)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+name)
	c.cmd.Stderr = os.Stderr
	var err error
	c.stdin, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.lines = bufio.NewReader(stdout)
	require.NoError(t, c.cmd.Start())
	return c
}

// line returns the next complete line, or "" at the end of the output.
func (c *child) line() string {
	line, err := c.lines.ReadString('\n')
	if err != nil {
		return ""
	}
	return line[:len(line)-1]
}

// kill ends the process as kill -9 does.
func (c *child) kill() { _ = c.cmd.Process.Kill() }

// wait returns when the process has ended.
func (c *child) wait() { _ = c.cmd.Wait() }

// must ends the child process if err is not nil.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
