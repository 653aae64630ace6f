package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// ask asks a question on the terminal and returns the answer, without spaces around it.
func (a *app) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(a.Stderr, question)
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := readLine(a.Stdin)
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		if errors.Is(r.err, io.EOF) {
			fmt.Fprintln(a.Stderr)
		} else if r.err != nil {
			return "", r.err
		}
		return strings.TrimSpace(r.line), nil
	case <-ctx.Done():
		fmt.Fprintln(a.Stderr)
		return "", context.Cause(ctx)
	}
}

// readLine reads a line, and not a byte more.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for {
		var b [1]byte
		if n, err := r.Read(b[:]); err != nil {
			return string(line), err
		} else if n == 1 && b[0] == '\n' {
			return string(line), nil
		} else {
			line = append(line, b[:n]...)
		}
	}
}

// askSecret asks for a text that the terminal does not show.
func (a *app) askSecret(question string) (string, error) {
	fmt.Fprint(a.Stderr, question)
	secret, err := a.Terminal.ReadPassword()
	fmt.Fprintln(a.Stderr)
	if err == nil && len(secret) == 0 {
		err = errors.New("the answer was empty")
	}
	return string(secret), err
}

// Names of flags that several commands have.
const (
	dryRunFlag = "dry-run"
	yesFlag    = "yes"
	allFlag    = "all"
)

// confirmation are the flags of a command that deletes or replaces much.
type confirmation struct{ yes, dryRun, all bool }

// confirms adds the flags --yes and --dry-run to c.
func confirms(c *cobra.Command) *confirmation {
	f := &confirmation{}
	c.Flags().BoolVarP(&f.yes, yesFlag, "y", false, "do not ask")
	c.Flags().BoolVarP(&f.dryRun, dryRunFlag, "n", false, "show what would be changed, and change nothing")
	return f
}

// withAll adds the flag --all to c.
func (f *confirmation) withAll(c *cobra.Command) *confirmation {
	c.Flags().BoolVar(&f.all, allFlag, false, "permit the empty prefix, which means every key")
	return f
}

// checkPrefix returns an error if prefix is empty and --all is not given.
func (f *confirmation) checkPrefix(prefix string) error {
	if prefix == "" && !f.all {
		return usagef("the empty prefix means every key of the domain: add --all if you mean that")
	}
	return nil
}

// change is what a command is about to do.
type change struct {
	// what says it all, if the change is not about keys.
	what string
	// verb says what is done to the keys, such as "delete".
	verb string
	// keys is their number, and first are the first of them.
	keys  int
	first []string
}

// firstKeys is how many keys a question shows.
const firstKeys = 5

// add counts a key.
func (c *change) add(key string) {
	if c.keys++; len(c.first) < firstKeys {
		c.first = append(c.first, key)
	}
}

// String says what is about to happen, such as: delete 12 keys: a, b, c, …
func (c *change) String() string {
	if c.what != "" {
		return c.what
	}
	text := c.verb + " " + countOf(c.keys, "key", "keys")
	for i, key := range c.first {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		text += separator + cut(escape(key), defaultWidth/2)
	}
	if c.keys > len(c.first) && len(c.first) > 0 {
		text += ", …"
	}
	return text
}

// countOf returns a number and the word that fits it.
func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// confirm reports whether the command may go on with the change: it asks, unless --yes is
// given. With --dry-run it only says what would happen. Without a terminal, --yes is needed.
func (s *session) confirm(ctx context.Context, f *confirmation, c *change) (bool, error) {
	switch {
	case f.dryRun:
		_, err := fmt.Fprintf(s.Stderr, "would %s in %s\n", c, s.target)
		return false, err
	case f.yes || c.keys == 0 && c.what == "":
		return true, nil
	case !s.canAsk():
		return false, usagef("this would %s: add --yes to do it, or --dry-run to see more", c)
	}
	answer, err := s.ask(ctx, fmt.Sprintf("This will %s in %s. Go on? [y/N] ", c, s.target))
	if err != nil {
		return false, err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return false, usagef("nothing was changed, because the answer was not yes")
	}
	return true, nil
}
