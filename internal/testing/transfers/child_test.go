package transfers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/transfer"
)

// childEnv is the environment variable that has the job of a child process, in JSON.
const childEnv = "KVDB_TRANSFERS_TEST_CHILD"

// job is what a child process copies.
type job struct {
	Source, Target place
	TTL            transfer.TTLMode
	StateFile      string
	Follow         bool
	Commits        bool // report when a commit at the target begins and ends
}

// commits is a hook that reports commits.
type commits struct{}

// The lines that report commits.
const (
	commitBegins = "commit"
	commitEnds   = "committed"
)

func (commits) OnOperationStart(ctx context.Context, op kvdb.Operation) context.Context {
	if op.Name == "commit" {
		fmt.Println(commitBegins)
	}
	return ctx
}

func (commits) OnOperationEnd(_ context.Context, op kvdb.Operation, _ kvdb.Outcome, _ error, _ time.Duration) {
	if op.Name == "commit" {
		fmt.Println(commitEnds)
	}
}

// copyAsChild does the job of a child process. It reports each phase on a line of the standard
// output, and in the end "ok" or the error.
func copyAsChild() {
	err := func() error {
		var j job
		if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &j); err != nil {
			return err
		}
		source, err := j.Source.open()
		if err != nil {
			return err
		}
		defer kvdb.Close(source)
		target, err := j.Target.open()
		if err != nil {
			return err
		}
		defer kvdb.Close(target)
		if j.Commits {
			if err := kvdb.AddHooks(target, commits{}); err != nil {
				return err
			}
		}
		last := transfer.Phase("")
		_, err = transfer.Copy(context.Background(), source, target, transfer.Options{
			TTL: j.TTL, StateFile: j.StateFile, Follow: j.Follow, Delete: true, Skip: true,
			Progress: func(p transfer.Progress) {
				if p.Phase != last {
					last = p.Phase
					fmt.Println(last)
				}
			},
		})
		return err
	}()
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Println("ok")
}

// child is a process that copies.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startChild(t *testing.T, j job) *child {
	text, err := json.Marshal(j)
	require.NoError(t, err)
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.lines = bufio.NewScanner(out)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	return c
}

// await reads lines until one is wanted. It returns false at the end of the output.
func (c *child) await(wanted ...string) (string, bool) {
	for c.lines.Scan() {
		for _, want := range wanted {
			if line := c.lines.Text(); line == want || want == "" {
				return line, true
			}
		}
	}
	return "", false
}

// kill ends the process as kill -9 does.
func (c *child) kill(t *testing.T) {
	require.NoError(t, c.cmd.Process.Kill())
	_ = c.cmd.Wait()
}

// signal sends a signal.
func (c *child) signal(t *testing.T, s syscall.Signal) {
	require.NoError(t, c.cmd.Process.Signal(s))
}
