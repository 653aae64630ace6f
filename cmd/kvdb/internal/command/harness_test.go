package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain checks that no goroutine is left. A store that was still being opened when its
// context ended takes up to 10 s to give up.
func TestMain(m *testing.M) {
	code := m.Run()
	deadline := time.Now().Add(15 * time.Second)
	err := goleak.Find()
	for err != nil && time.Now().Before(deadline) {
		err = goleak.Find()
	}
	if err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// shell runs the command in this process, as a shell does.
type shell struct {
	t testing.TB
	// env is the environment: its variables and streams hold for each run.
	env Env
	ctx context.Context
}

// ran is what a run left.
type ran struct {
	code           int
	stdout, stderr string
}

// newShell returns a shell whose store is a new bolt file.
func newShell(t testing.TB) *shell {
	dir := t.TempDir()
	sh := &shell{t: t, ctx: t.Context()}
	sh.set("HOME", dir)
	sh.set("KVDB_STORE", "bolt:"+filepath.Join(dir, "test.db"))
	return sh
}

// set sets a variable of the environment.
func (sh *shell) set(name, value string) { sh.env.Environ = append(sh.env.Environ, name+"="+value) }

// on returns a copy of the shell with a terminal of that width. What stdin has is typed on it.
func (sh *shell) on(width int) *shell {
	with := *sh
	with.env.Terminal = Terminal{In: true, Out: true, Err: true, Width: width}
	return &with
}

// in returns a copy of the shell with a standard input.
func (sh *shell) in(stdin string) *shell {
	with := *sh
	with.env.Stdin = strings.NewReader(stdin)
	return &with
}

// run runs the command.
func (sh *shell) run(args ...string) ran {
	sh.t.Helper()
	var stdout, stderr stream
	env := sh.env
	env.Args, env.Stdout, env.Stderr = args, &stdout, &stderr
	if env.Stdin == nil {
		env.Stdin = strings.NewReader("")
	}
	env.Terminal.ReadPassword = func() ([]byte, error) {
		line, err := readLine(env.Stdin)
		return []byte(line), err
	}
	code := Run(sh.ctx, env)
	out, _ := stdout.read()
	err, _ := stderr.read()
	return ran{code, out, err}
}

// ok runs the command, which must succeed without a message, and returns its output.
func (sh *shell) ok(args ...string) string {
	sh.t.Helper()
	r := sh.run(args...)
	require.Equal(sh.t, ran{exitOK, r.stdout, ""}, r, "kvdb %q", args)
	return r.stdout
}

// fails runs the command, which must end with the code and one line that has the text.
func (sh *shell) fails(code int, text string, args ...string) {
	sh.t.Helper()
	r := sh.run(args...)
	require.Equal(sh.t, code, r.code, "kvdb %q: %s", args, r.stderr)
	require.Contains(sh.t, r.stderr, text, "kvdb %q", args)
	require.Equal(sh.t, 1, strings.Count(r.stderr, "\n"), "one line: %s", r.stderr)
	require.True(sh.t, strings.HasPrefix(r.stderr, "kvdb: "), r.stderr)
}

// start runs the command in the background. Its output can be read while it runs.
func (sh *shell) start(args ...string) *running {
	r := &running{t: sh.t, over: make(chan int, 1), signals: make(chan os.Signal, 1)}
	env := sh.env
	env.Args, env.Stdout, env.Stderr, env.Signals = args, &r.stdout, &r.stderr, r.signals
	if env.Stdin == nil {
		env.Stdin = strings.NewReader("")
	}
	go func() { r.over <- Run(sh.ctx, env) }()
	return r
}

// running is a command that runs in the background.
type running struct {
	t              testing.TB
	over           chan int
	signals        chan os.Signal
	stdout, stderr stream
}

// stream is output that can be awaited.
type stream struct {
	mu      sync.Mutex // protects the fields
	text    bytes.Buffer
	changed chan struct{}
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return s.text.Write(p)
}

// read returns what was written, and a channel that is closed when there is more.
func (s *stream) read() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.text.String(), s.changed
}

var _ io.Writer = (*stream)(nil)
