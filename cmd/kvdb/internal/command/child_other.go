//go:build !linux

package command

import (
	"os"
	"os/exec"
	"syscall"
)

// Signals are those that the program catches.
var Signals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// prepareChild changes nothing: the child is in the process group of this process.
func (a *app) prepareChild(*exec.Cmd) (restore func()) { return func() {} }

// signal sends a signal to the child. Where there are no signals, it kills the child.
func (c *child) signal(number syscall.Signal) {
	if c.command.Process.Signal(number) != nil {
		_ = c.command.Process.Kill()
	}
}
