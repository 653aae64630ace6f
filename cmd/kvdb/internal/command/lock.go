package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// locking are the flags of lock.
type locking struct {
	try, hold, grace time.Duration
	id               string
	key              string
	command          []string
}

// forEver is longer than anybody waits.
const forEver = 100 * 365 * 24 * time.Hour

// newLock returns the command that runs another one under a lock.
func newLock(a *app) *cobra.Command {
	const form = "KEY -- COMMAND [ARGUMENT...]"
	var f locking
	c := &cobra.Command{
		Use:   "lock " + form,
		Short: "Run a command while holding a lock",
		Long: `Obtain the lock, run the command, release the lock, and end with the exit code
of the command. No shell is involved. The command is in a process group of its
own and gets the signals that kvdb gets. KVDB_LOCK_TOKEN has the fencing token,
which is larger for each later holder.

If the lock is lost, or held for longer than --hold, the command gets TERM, and
after --grace KILL, and the exit code is 8. It is 8 too if the lock was not
obtained in time, and 125 to 127 if the command does not run, as with env(1).`,
		Example: `  kvdb lock jobs/nightly -- ./nightly.sh
  kvdb lock --try 0s jobs/nightly -- ./nightly.sh
  kvdb lock status jobs/nightly`,
		Args: func(c *cobra.Command, args []string) error {
			if before, command := splitCommand(args, c.ArgsLenAtDash()); len(before) != 1 || len(command) == 0 {
				return usagef("a key and a command are needed: use %s %s", c.CommandPath(), form)
			}
			return nil
		},
		ValidArgsFunction: a.completeKeys,
		RunE: func(c *cobra.Command, args []string) error {
			before, command := splitCommand(args, c.ArgsLenAtDash())
			f.key, f.command = before[0], command
			if !c.Flags().Changed("try") {
				f.try = forEver
			}
			if f.id == "" {
				host, _ := os.Hostname() // without it, the number of the process is the name
				f.id = host + ":" + strconv.Itoa(os.Getpid())
			}
			a.warns = true
			return a.runs(writes, func(ctx context.Context, s *session, _ []string) error { return s.runLocked(ctx, f) })(c, args)
		},
	}
	c.Flags().DurationVar(&f.try, "try", 0, "give up after that time; without it, wait for ever")
	c.Flags().DurationVar(&f.hold, "hold", 0, "end the command after that time, 0 for never")
	c.Flags().DurationVar(&f.grace, "grace", 5*time.Second, "time from TERM to KILL")
	c.Flags().StringVar(&f.id, "id", "", "name of the holder for others (default host:process)")
	status := a.newLockStatus()
	status.DisableFlagsInUseLine = true
	c.AddCommand(status)
	return c
}

// runLocked runs the command of f while holding the lock.
func (s *session) runLocked(ctx context.Context, f locking) error {
	if f.try < 0 || f.hold < 0 || f.grace < 0 {
		return usagef("--try, --hold and --grace must not be negative")
	}
	pair, err := s.kv.LockWithTimeout(f.key, f.id, max(f.try, time.Millisecond), f.hold)
	switch {
	case errors.Is(err, kvdb.ErrExist):
		return advise(wrap(errLock, "the lock is taken: %w", err), `"kvdb lock status" shows the holder`)
	case err != nil:
		return about(f.key, err)
	}
	held, is := pair.Lock.(kvdb.HeldLock)
	if !is {
		return errors.Join(wrap(errLock, "the backend does not say whether the lock is held"), s.instance.Unlock(pair))
	}
	code, err := s.runHolding(ctx, f, held)
	if unlocked := s.instance.Unlock(pair); unlocked != nil && err == nil {
		if errors.Is(unlocked, kvdb.ErrInvalidLock) {
			return wrap(errLock, "the lock was lost before the command had ended: %w", unlocked)
		}
		fmt.Fprintf(s.Stderr, "kvdb: the lock is released only when its time is over: %s\n", oneLine(unlocked.Error()))
	}
	if err == nil && code != exitOK {
		err = exitError{code, ""}
	}
	return err
}

// runHolding runs the command of f until it ends, or until the lock is lost.
func (s *session) runHolding(ctx context.Context, f locking, held kvdb.HeldLock) (code int, err error) {
	signals, stop := s.catchSignals()
	defer stop()
	if ctx.Err() != nil { // a signal came before
		return 0, context.Cause(ctx)
	}
	c, err := s.startChild(f.command, []string{"KVDB_LOCK_TOKEN=" + strconv.FormatUint(held.Token(), 10)}, s.Stdin)
	if err != nil {
		return 0, err
	}
	defer c.restore()
	for {
		select {
		case err := <-c.done:
			return codeOf(err), nil
		case signal := <-signals:
			if number, is := signal.(syscall.Signal); is {
				c.signal(number)
			}
		case <-held.Lost():
			_ = c.end(f.grace) // the lock counts, not the exit code
			return 0, wrap(errLock, "the lock on %q was lost, so the command was ended", f.key)
		case err := <-s.fatal:
			if errors.Is(err, kvdb.ErrLockHoldTimeoutTriggered) {
				_ = c.end(f.grace)
				return 0, wrap(errLock, "the lock on %q was held for %v, so the command was ended", f.key, f.hold)
			}
		case <-ctx.Done():
			_ = c.end(f.grace)
			return 0, context.Cause(ctx)
		}
	}
}

// newLockStatus returns the command that shows who holds a lock.
func (a *app) newLockStatus() *cobra.Command {
	const form = "KEY"
	return &cobra.Command{
		Use:               "status " + form,
		Short:             "Show who holds a lock",
		Long:              "Show whether a lock is held, and by whom. The exit code is 1 if nobody holds it.",
		Args:              usage(1, 1, form),
		ValidArgsFunction: a.completeKeys,
		RunE: a.runs(reads, func(_ context.Context, s *session, args []string) error {
			held, holder, err := s.kv.IsKeyLocked(args[0])
			if errors.Is(err, kvdb.ErrNotFound) {
				held, err = false, nil
			}
			if err != nil {
				return about(args[0], err)
			}
			text, key := map[bool]string{true: "yes", false: "no"}, args[0]
			name, _ := encodeText([]byte(key))
			err = s.out.one([]column{{title: "KEY", flexible: true}, {title: "HELD"}, {title: "HOLDER", flexible: true}}, row{
				[]string{key, text[held], holder}, map[string]any{"key": name, "held": held, "holder": holder}, []byte(holder + "\n"),
			})
			if err == nil && !held {
				err = exitError{exitNo, ""}
			}
			return err
		}),
	}
}
