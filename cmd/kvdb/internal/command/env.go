package command

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Env is what a run of the command gets from the system. [System] returns that of the process.
type Env struct {
	// Args are the arguments, without the name of the program.
	Args []string
	// Environ is the environment, as NAME=value.
	Environ []string
	// Stdin, Stdout and Stderr are the standard streams. Writes to them may be concurrent.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal says which of the streams are a terminal.
	Terminal Terminal
	// Signals are the signals that the process gets. The first one ends the run, unless a
	// command takes them. It may be nil.
	Signals <-chan os.Signal
}

// Terminal describes the terminal of a run.
type Terminal struct {
	// In, Out and Err report whether the streams are a terminal.
	In, Out, Err bool
	// Width is the number of its columns.
	Width int
	// ReadPassword reads a line that the terminal does not show.
	ReadPassword func() ([]byte, error)
}

// defaultWidth is the number of columns of output that is not for a terminal.
const defaultWidth = 80

// System returns the Env of this process.
func System(signals <-chan os.Signal) Env {
	isTerminal := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	terminal := Terminal{
		In: isTerminal(os.Stdin), Out: isTerminal(os.Stdout), Err: isTerminal(os.Stderr), Width: defaultWidth,
		ReadPassword: func() ([]byte, error) { return term.ReadPassword(int(os.Stdin.Fd())) },
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			terminal.Width = width
			break
		}
	}
	return Env{os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr, terminal, signals}
}

// lookup returns the value of a variable of the environment, and whether it is set.
func (e *Env) lookup(name string) (value string, set bool) {
	for _, variable := range e.Environ { // the last one counts
		if after, is := strings.CutPrefix(variable, name+"="); is {
			value, set = after, true
		}
	}
	return value, set
}

func (e *Env) getenv(name string) string {
	value, _ := e.lookup(name)
	return value
}

// canAsk reports whether there is a person to ask.
func (e *Env) canAsk() bool { return e.Terminal.In && e.Terminal.Err }

// colours reports whether output to a terminal may have colours.
func (e *Env) colours(terminal bool) bool {
	return terminal && e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"
}
