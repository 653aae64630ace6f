package command

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signals are those that the program catches.
var Signals = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// prepareChild gives the command a process group, which gets the terminal if this process has
// it. The returned function takes the terminal back.
func (a *app) prepareChild(command *exec.Cmd) (restore func()) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	file, is := command.Stdin.(*os.File)
	if !is || !a.Terminal.In {
		return func() {}
	}
	terminal, own := int(file.Fd()), unix.Getpgrp()
	if holder, err := unix.IoctlGetInt(terminal, unix.TIOCGPGRP); err != nil || holder != own {
		return func() {}
	}
	signal.Ignore(syscall.SIGTTOU) // else who is not in front may not give or take the terminal
	command.SysProcAttr.Foreground, command.SysProcAttr.Ctty = true, terminal
	return func() { _ = unix.IoctlSetPointerInt(terminal, unix.TIOCSPGRP, own) }
}

// signal sends a signal to the child and to the processes that it started.
func (c *child) signal(number syscall.Signal) { _ = syscall.Kill(-c.command.Process.Pid, number) }
