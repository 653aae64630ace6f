// Package secret reads passwords and tokens from where references say that they are.
package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Source is where secrets come from.
type Source struct {
	// Getenv returns the value of a variable of the environment, and whether it is set.
	Getenv func(name string) (string, bool)
	// Commands permits to run commands. Their standard error is Stderr.
	Commands bool
	Stderr   io.Writer
	// Ask asks a person on the terminal. It is nil if there is none.
	Ask func(prompt string) (string, error)
}

// Read returns the secret that reference says: the content of file:PATH, the value of the
// variable env:NAME, or what the shell prints for cmd:COMMAND. One newline at the end is no
// part of it. With an empty reference it asks for the secret, whose name is what. An error has
// the reference, never the secret.
func (s Source) Read(ctx context.Context, what, reference string) (string, error) {
	kind, rest, _ := strings.Cut(reference, ":")
	switch kind {
	case "":
		if s.Ask == nil {
			return "", fmt.Errorf("%s is not given: add ?%s=file:PATH, env:VARIABLE or cmd:COMMAND to the store's URL", what, what)
		}
		return s.Ask(what + ": ")
	case "file":
		text, err := os.ReadFile(rest)
		return s.nonEmpty(what, reference, string(text), err)
	case "env":
		text, set := s.Getenv(rest)
		if !set {
			return "", fmt.Errorf("%s: the environment has no variable %s", what, rest)
		}
		return s.nonEmpty(what, reference, text, nil)
	case "cmd":
		if !s.Commands {
			return "", errors.New("a command for a secret does not run here")
		}
		command := exec.CommandContext(ctx, "sh", "-c", rest)
		command.Stderr = s.Stderr
		text, err := command.Output()
		return s.nonEmpty(what, reference, string(text), err)
	}
	return "", fmt.Errorf("%s: a secret comes from file:PATH, env:VARIABLE or cmd:COMMAND", what)
}

func (s Source) nonEmpty(what, reference, text string, err error) (string, error) {
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	switch {
	case err != nil:
		return "", fmt.Errorf("%s from %s: %w", what, reference, err)
	case text == "":
		return "", fmt.Errorf("%s from %s: it is empty", what, reference)
	}
	return text, nil
}
