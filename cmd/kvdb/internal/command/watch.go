package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// watching are the flags of watch.
type watching struct {
	since           uint64
	initial, prefix bool
	resume, onError string
	count           int
	target          string
	command         []string
}

// newWatch returns the command that shows changes.
func newWatch(a *app) *cobra.Command {
	const form = "[KEY|DIR/] [-- COMMAND [ARGUMENT...]]"
	var f watching
	c := &cobra.Command{
		Use:   "watch " + form,
		Short: "Show changes of keys, or run a command for each",
		Long: `Show the changes of a key, of the keys below a directory (DIR ends in /), or of
all keys, as they come. With a command, run it for each change, one after the
other: KVDB_ACTION, KVDB_KEY and KVDB_INDEX say what has changed, and the new
value is its standard input. No shell is involved.

--resume keeps the index of the last change in a file, and goes on from there
the next time: no change is left out, and the last one may come again. --initial
shows what exists before the changes; together with --resume only if the file is
new or the store no longer knows the changes since then.`,
		Example: `  kvdb watch app/
  kvdb watch --initial -o jsonl app/ | jq .key
  kvdb watch --resume state app/ -- ./reload.sh`,
		Args: func(c *cobra.Command, args []string) error {
			if before, _ := splitCommand(args, c.ArgsLenAtDash()); len(before) > 1 {
				return usagef("too many arguments: use %s %s", c.CommandPath(), form)
			}
			if f.onError != "stop" && f.onError != "continue" {
				return usagef("--on-error %s: use stop or continue", f.onError)
			}
			return nil
		},
		ValidArgsFunction: a.completeKeys,
		RunE: func(c *cobra.Command, args []string) error {
			before, command := splitCommand(args, c.ArgsLenAtDash())
			f.target, f.command = argument(before, 0), command
			a.warns = true
			return a.runs(reads, func(ctx context.Context, s *session, _ []string) error { return s.watch(ctx, &f) })(c, args)
		},
	}
	c.Flags().Uint64Var(&f.since, "since", 0, "show the changes after that index")
	c.Flags().BoolVar(&f.initial, "initial", false, "show what exists first, as action initial")
	c.Flags().BoolVar(&f.prefix, "prefix", false, "the argument is the beginning of keys")
	c.Flags().StringVar(&f.resume, "resume", "", "file with the index of the last change")
	c.Flags().StringVar(&f.onError, "on-error", "stop", "stop or continue if the command fails")
	c.Flags().IntVar(&f.count, "count", 0, "end after so many changes")
	_ = c.MarkFlagFilename("resume") // the flags exist
	_ = c.RegisterFlagCompletionFunc("on-error", cobra.FixedCompletions([]string{"stop", "continue"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// errDone ends a watch that has shown enough.
var errDone = errors.New("done")

// watch shows changes until ctx ends.
func (s *session) watch(ctx context.Context, f *watching) error {
	resumed := false
	if f.resume != "" {
		index, err := readIndex(f.resume)
		if err != nil {
			return err
		}
		if index > 0 {
			f.since, resumed = index, true
		}
	}
	var err error
	if !resumed && (f.initial || f.resume != "" && f.since == 0) {
		err = s.watchFromSnapshot(ctx, f)
	} else {
		err = s.watchFrom(ctx, f, f.since)
	}
	if errors.Is(err, kvdb.ErrWatchRevisionCompacted) && f.initial {
		fmt.Fprintf(s.Stderr, "kvdb: the store no longer knows the changes since index %d, so all keys follow\n", f.since)
		err = s.watchFromSnapshot(ctx, f)
	}
	return s.watchError(ctx, f, err)
}

// watchError returns the error that a person gets for the end of a watch.
func (s *session) watchError(ctx context.Context, f *watching, err error) error {
	switch {
	case errors.Is(err, errDone):
		return nil
	case ctx.Err() != nil && errors.Is(err, kvdb.ErrWatchStopped):
		return context.Cause(ctx)
	case errors.Is(err, kvdb.ErrWatchStopped):
		return fmt.Errorf("the watch has ended: %w", kvdb.ErrNoConnection)
	case errors.Is(err, kvdb.ErrWatchRevisionCompacted):
		return advise(wrap(errDifference, "the store no longer knows the changes since index %d", f.since), "add --initial to begin with what exists")
	}
	return err
}

// watchedPrefix returns the prefix of the keys, and whether exactly that key is watched.
func (f *watching) watchedPrefix() (prefix string, exact bool) {
	return f.target, !f.prefix && f.target != "" && !strings.HasSuffix(f.target, kvdb.DefaultSeparator)
}

// watchFromSnapshot shows what exists, if that is wanted, and then the changes since that moment.
func (s *session) watchFromSnapshot(ctx context.Context, f *watching) error {
	prefix, _ := f.watchedPrefix()
	snapshot, index, err := s.kv.Snapshot([]string{prefix}, true)
	if err != nil {
		return err
	}
	for pair, err := range kvdb.PairsWith(snapshot, "", kvdb.PageOptions{Hidden: true}) {
		if !f.initial {
			break
		}
		if err == nil {
			err = s.onChange(ctx, f, pair, "initial")
		}
		if err != nil {
			return errors.Join(err, kvdb.Close(snapshot))
		}
	}
	if err := errors.Join(kvdb.Close(snapshot), f.save(index)); err != nil {
		return err
	}
	if f.count < 0 {
		return errDone
	}
	return s.watchFrom(ctx, f, index)
}

// watchFrom shows the changes after index.
func (s *session) watchFrom(ctx context.Context, f *watching, index uint64) error {
	prefix, _ := f.watchedPrefix()
	batches, err := kvdb.EventBatches(ctx, s.kv, prefix, index)
	if err != nil {
		return err
	}
	for pairs, err := range batches {
		if err != nil {
			return err
		}
		for i, pair := range pairs {
			if err := s.onChange(ctx, f, pair, pair.Action.String()); err != nil {
				return err
			}
			// Changes with the same index are one step of the store.
			if i+1 == len(pairs) || pairs[i+1].ModifiedIndex != pair.ModifiedIndex {
				f.since = pair.ModifiedIndex
				if err := f.save(pair.ModifiedIndex); err != nil {
					return err
				}
			}
		}
		if f.count < 0 {
			return errDone
		}
	}
	return nil
}

// onChange shows a change or runs the command for it.
func (s *session) onChange(ctx context.Context, f *watching, pair *kvdb.KVPair, action string) error {
	if prefix, exact := f.watchedPrefix(); exact && pair.Key != prefix || f.count < 0 {
		return nil
	}
	if f.count > 0 {
		if f.count--; f.count == 0 {
			f.count = -1 // enough, when the index is saved
		}
	}
	if len(f.command) == 0 {
		return s.showChange(pair, action)
	}
	code, err := s.runFor(ctx, f.command, pair, action)
	if err != nil || code == exitOK {
		return err
	}
	failed := fmt.Errorf("the command ended with exit code %d for key %q at index %d", code, pair.Key, pair.ModifiedIndex)
	if f.onError == "stop" {
		return advise(failed, "--on-error continue goes on")
	}
	fmt.Fprintln(s.Stderr, "kvdb:", oneLine(failed.Error()))
	return nil
}

// runFor runs the command for a change and returns its exit code.
func (s *session) runFor(ctx context.Context, command []string, pair *kvdb.KVPair, action string) (int, error) {
	c, err := s.startChild(command, []string{
		"KVDB_ACTION=" + action, "KVDB_KEY=" + pair.Key, "KVDB_INDEX=" + number(pair.ModifiedIndex),
	}, bytes.NewReader(pair.Value))
	if err != nil {
		return 0, err
	}
	return c.await(ctx, outputDelay)
}

// showChange writes a change at once.
func (s *session) showChange(pair *kvdb.KVPair, action string) error {
	switch s.out.format {
	case formatRaw:
		if _, err := s.out.Write(pair.Value); err != nil {
			return err
		}
	case formatTable:
		line := fmt.Sprintf("%-8d %-7s %s", pair.ModifiedIndex, action, escape(pair.Key))
		if len(pair.Value) > 0 {
			line += "  " + cut(escape(string(pair.Value)), max(s.columns()-width(line)-gap, minCell))
		}
		if _, err := s.out.WriteString(line + "\n"); err != nil {
			return err
		}
	default:
		if err := s.out.writeJSON(struct {
			Action string `json:"action"`
			record
		}{action, recordOf(pair)}); err != nil {
			return err
		}
	}
	return s.out.flush()
}

// readIndex returns the index in the file, or 0 if there is no file.
func readIndex(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, usagef("--resume: %w", err)
	}
	index, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, usagef("--resume: %s does not have an index: delete it to begin anew", path)
	}
	return index, nil
}

// save keeps the index in the file of --resume, in one step.
func (f *watching) save(index uint64) error {
	if f.resume == "" {
		return nil
	}
	temporary, err := os.CreateTemp(filepath.Dir(f.resume), ".kvdb-resume-*")
	if err != nil {
		return usagef("--resume: %w", err)
	}
	_, err = fmt.Fprintln(temporary, index)
	err = errors.Join(err, temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), f.resume)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}
