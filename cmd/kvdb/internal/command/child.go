package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Exit codes of env(1) for a command that did not run.
const (
	exitNotStarted    = 125
	exitNotExecutable = 126
	exitNoCommand     = 127
)

// outputDelay is how long the output of a child is awaited after its end, if processes that it
// started have its streams.
const outputDelay = 5 * time.Second

// child is a command that runs for one of ours.
type child struct {
	command *exec.Cmd
	done    <-chan error
	// restore gives the terminal back.
	restore func()
}

// startChild runs args without a shell, in a process group of its own. On Linux it is killed
// when this process dies.
func (a *app) startChild(args, variables []string, stdin io.Reader) (*child, error) {
	command := exec.Command(args[0], args[1:]...)
	command.Env = append(a.Environ[:len(a.Environ):len(a.Environ)], variables...)
	command.Stdin, command.Stdout, command.Stderr = stdin, a.Stdout, a.Stderr
	command.WaitDelay = outputDelay
	restore := a.prepareChild(command)
	started, done := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the system kills the child when the thread that started it ends
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			done <- command.Wait()
		}
	}()
	if err := <-started; err != nil {
		restore()
		return nil, notStarted(args[0], err)
	}
	return &child{command, done, restore}, nil
}

// notStarted returns the error for a command that could not be started.
func notStarted(name string, err error) error {
	code, text := exitNotStarted, err.Error()
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		code, text = exitNoCommand, "there is no such command"
	case errors.Is(err, fs.ErrPermission):
		code, text = exitNotExecutable, "the command cannot be executed"
	}
	return exitError{code, oneLine(fmt.Sprintf("%s: %s", name, text))}
}

// end ends the child: with TERM and, if it still runs after grace, with KILL.
func (c *child) end(grace time.Duration) error {
	c.signal(syscall.SIGTERM)
	select {
	case err := <-c.done:
		return err
	case <-time.After(grace):
		c.signal(syscall.SIGKILL)
		return <-c.done
	}
}

// codeOf returns the exit code of a child whose Wait returned err, as a shell does.
func codeOf(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return exitOK
	case !errors.As(err, &exit):
		return exitNotStarted
	}
	if status, is := exit.Sys().(syscall.WaitStatus); is && status.Signaled() {
		return exitSignalAdded + int(status.Signal())
	}
	return exit.ExitCode()
}

// await waits for the child, and ends it if ctx ends.
func (c *child) await(ctx context.Context, grace time.Duration) (int, error) {
	defer c.restore()
	select {
	case err := <-c.done:
		return codeOf(err), nil
	case <-ctx.Done():
		return codeOf(c.end(grace)), context.Cause(ctx)
	}
}

// catchSignals makes the signals that this process gets come out of the returned channel, until
// the returned function is called.
func (a *app) catchSignals() (<-chan os.Signal, func()) {
	caught := make(chan os.Signal, cap(Signals))
	catch := func(signal os.Signal) {
		select {
		case caught <- signal:
		default: // as many wait already
		}
	}
	a.takeSignal.Store(&catch)
	return caught, func() { a.takeSignal.Store(nil) }
}

// splitCommand splits the arguments at --, whose number dash is, or -1.
func splitCommand(args []string, dash int) (before, command []string) {
	if dash < 0 {
		return args, nil
	}
	return args[:dash], args[dash:]
}
