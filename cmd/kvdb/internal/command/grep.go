package command

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// newGrep returns the command that searches values.
func newGrep(a *app) *cobra.Command {
	const form = "PATTERN [DIR]"
	var fixed, ignoreCase, keysOnly bool
	c := &cobra.Command{
		Use:   "grep " + form,
		Short: "Search the values below a directory",
		Long: `Print the lines of values that match a regular expression, each after its key.
With -o json or jsonl, print the pairs. The exit code is 1 if nothing matches.`,
		Example:           "  kvdb grep 'port: *80' app\n  kvdb grep -F -l 10.0.0.1",
		Args:              usage(1, 2, form),
		ValidArgsFunction: a.completeSecondKey,
		RunE: a.runs(reads, func(_ context.Context, s *session, args []string) error {
			text := args[0]
			if fixed {
				text = regexp.QuoteMeta(text)
			}
			if ignoreCase {
				text = "(?i:" + text + ")"
			}
			pattern, err := regexp.Compile(text)
			if err != nil {
				return usagef("%w: use -F for a plain text", err)
			}
			found := false
			err = s.grep(pattern, directory(argument(args, 1)), keysOnly, &found)
			if err == nil && !found {
				return exitError{exitNo, ""}
			}
			return err
		}),
	}
	c.Flags().BoolVarP(&fixed, "fixed", "F", false, "the pattern is a plain text")
	c.Flags().BoolVarP(&ignoreCase, "ignore-case", "i", false, "case does not count")
	c.Flags().BoolVarP(&keysOnly, "keys", "l", false, "print the keys only")
	return c
}

// completeSecondKey offers keys for all arguments but the first.
func (a *app) completeSecondKey(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeKeys(c, args, typed)
}

// grep writes what matches the pattern, and sets found if there is anything.
func (s *session) grep(pattern *regexp.Regexp, prefix string, keysOnly bool, found *bool) error {
	matches := func(yield func(*kvdb.KVPair, error) bool) {
		for pair, err := range s.pairs(prefix, false) {
			if err == nil && !pattern.Match(pair.Value) {
				continue
			}
			*found = *found || err == nil
			if !yield(pair, err) {
				return
			}
		}
	}
	rows := func(yield func(row, error) bool) {
		for pair, err := range matches {
			if err != nil {
				yield(row{}, err)
				return
			}
			value := any(recordOf(pair))
			if keysOnly {
				value = keyRecord(pair, false)
			}
			if !yield(row{[]string{pair.Key}, value, []byte(pair.Key + "\n")}, nil) {
				return
			}
		}
	}
	if keysOnly || s.out.format != formatTable {
		return s.listNames(rows)
	}
	for pair, err := range matches {
		if err != nil {
			return err
		}
		if err := s.matchingLines(pattern, pair); err != nil {
			return err
		}
	}
	return nil
}

// matchingLines writes the lines of a value that match.
func (s *session) matchingLines(pattern *regexp.Regexp, pair *kvdb.KVPair) error {
	key := s.paint(s.Terminal.Out, blue, escape(pair.Key)) + ":"
	lines := 0
	if utf8.Valid(pair.Value) {
		for line := range bytes.Lines(pair.Value) {
			if line = bytes.TrimSuffix(line, []byte("\n")); pattern.Match(line) {
				lines++
				if _, err := fmt.Fprintf(s.out, "%s%s\n", key, escape(string(line))); err != nil {
					return err
				}
			}
		}
	}
	if lines > 0 {
		return nil
	}
	// The value is not text, or the match has several lines.
	_, err := fmt.Fprintf(s.out, "%s value of %s matches\n", key, byteSize(int64(len(pair.Value))))
	return err
}
