// Package command is the program kvdb. Each command is in a file of its own; see newGet for
// the shape of all.
package command

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"
)

// app is one run of the program.
type app struct {
	Env
	flags globalFlags
	// warns makes the session log interruptions to the standard error.
	warns bool
	// fatal gets the errors of a lock that is lost or held for too long.
	fatal chan error
	// takeSignal gets the signals instead of the context, if it is set.
	takeSignal atomic.Pointer[func(os.Signal)]
}

// Run runs the command with the arguments of env and returns its exit code. If ctx ends, the
// command ends.
func Run(ctx context.Context, env Env) int {
	a := &app{Env: env, fatal: make(chan error, 1)}
	ctx, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.watchSignals(cancel, over)
	}()
	defer func() {
		close(over)
		<-ended
		cancel(nil)
	}()
	root := newRoot(a)
	root.SetContext(ctx)
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	code, message := exitOf(ctx, root.Execute())
	if message != "" {
		fmt.Fprintln(env.Stderr, a.paint(a.Terminal.Err, red, "kvdb:"), message)
	}
	return code
}

// watchSignals ends the context at the first signal. A second one ends the process as if it
// were not caught.
func (a *app) watchSignals(cancel context.CancelCauseFunc, over <-chan struct{}) {
	cancelled := false
	for {
		select {
		case <-over:
			return
		case signal := <-a.Signals:
			number, is := signal.(syscall.Signal)
			if take := a.takeSignal.Load(); take != nil {
				(*take)(signal)
			} else if is && cancelled {
				os.Exit(exitSignalAdded + int(number))
			} else if is {
				cancelled = true
				cancel(interrupted{number})
			}
		}
	}
}

// usage returns a function for cobra.Command.Args that takes between least and most arguments,
// or any number if most is negative. form names the arguments.
func usage(least, most int, form string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		what := "too many arguments"
		if len(args) < least {
			what = "arguments are missing"
		}
		return usagef("%s: use %s", what, strings.TrimSpace(c.CommandPath()+" "+form))
	}
}
