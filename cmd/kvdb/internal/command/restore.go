package command

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/backup"
)

// restoring are the flags of restore.
type restoring struct {
	*confirmation
	backup.RestoreOptions
	ttl, incompatible string
}

var restoreTTLs = []string{string(backup.TTLRemaining), string(backup.TTLAbsolute), string(backup.TTLDrop)}

// newRestore returns the command that writes the pairs of a backup.
func newRestore(a *app) *cobra.Command {
	const form = "FILE [PREFIX...]"
	var f restoring
	c := &cobra.Command{
		Use:   "restore " + form,
		Short: "Write the pairs of a backup",
		Long: `Write the pairs of a backup, or those whose keys begin with a PREFIX, to a store
of any kind. The whole backup is verified first. Pairs that the store has
already are left alone. If it has other values for some keys, nothing is written
without --overwrite or --only-missing. A restore that was interrupted can be
repeated.

A pair gets the time that it had left when it was saved; with --ttl absolute it
expires when it would have expired, and with --ttl drop it does not.`,
		Example: `  kvdb restore app.kvdb
  kvdb restore --overwrite --prune app.kvdb app/
  kvdb restore --dry-run --overwrite app.kvdb`,
		Args:              usage(1, -1, form),
		ValidArgsFunction: a.completeFileAndKeys,
	}
	f.confirmation = confirms(c)
	flags := c.Flags()
	flags.BoolVar(&f.OnlyMissing, "only-missing", false, "leave keys with other values alone")
	flags.BoolVar(&f.Overwrite, "overwrite", false, "replace other values")
	flags.BoolVar(&f.Prune, "prune", false, "delete the keys that the backup does not have")
	flags.StringVar(&f.ttl, "ttl", restoreTTLs[0], strings.Join(restoreTTLs, ", "))
	flags.StringVar(&f.incompatible, "on-incompatible", incompatibleStop, "stop, or skip what the store cannot hold")
	for name, values := range map[string][]string{"ttl": restoreTTLs, "on-incompatible": {incompatibleStop, incompatibleSkip}} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // it exists
	}
	c.RunE = a.runs(writes, func(ctx context.Context, s *session, args []string) error {
		f.Prefixes = args[1:]
		if err := f.check(args[0]); err != nil {
			return err
		}
		return s.restore(ctx, args[0], &f)
	})
	return c
}

// check reads the flags.
func (f *restoring) check(path string) error {
	f.TTL, f.Skip = backup.TTLMode(f.ttl), f.incompatible == incompatibleSkip
	switch {
	case path == stdinPath:
		return usagef("a restore reads the backup more than once: save it in a file")
	case !slices.Contains(restoreTTLs, f.ttl):
		return usagef("--ttl %s: it is one of %s", f.ttl, strings.Join(restoreTTLs, ", "))
	case !f.Skip && f.incompatible != incompatibleStop:
		return usagef("--on-incompatible %s: it is %s or %s", f.incompatible, incompatibleStop, incompatibleSkip)
	case f.OnlyMissing && f.Overwrite:
		return usagef("use --only-missing or --overwrite, not both")
	}
	return nil
}

// restore asks before it replaces or deletes, writes the pairs and prints what it did.
func (s *session) restore(ctx context.Context, path string, f *restoring) error {
	file, err := os.Open(path)
	if err != nil {
		return usagef("%w", err)
	}
	defer file.Close()
	p := s.startProgress(string(backup.PhaseVerify))
	defer p.end()
	options := f.RestoreOptions
	options.Progress = p.ofBackup
	if f.dryRun || (f.Overwrite || f.Prune) && !f.yes {
		options.DryRun = true
		would, err := backup.Restore(ctx, s.kv, file, options)
		p.end()
		if err != nil {
			return restoreError(path, err)
		}
		if goOn, err := s.confirm(ctx, f.confirmation, changeOf(would)); err != nil {
			return err
		} else if !goOn {
			return s.showRestored(would)
		}
		options.DryRun = false
	}
	done, err := backup.Restore(ctx, s.kv, file, options)
	p.end()
	if err != nil {
		return restoreError(path, err)
	}
	if err := s.showRestored(done); err != nil {
		return err
	}
	if done.Skipped > 0 {
		return wrap(errIncomplete, "%s left out, because the store cannot hold them", countOf(done.Skipped, "pair was", "pairs were"))
	}
	return nil
}

// changeOf says what a restore replaces and deletes.
func changeOf(would backup.Restored) *change {
	c := &change{verb: "overwrite"}
	var parts []string
	if would.Overwritten > 0 {
		parts = append(parts, "overwrite "+countOf(would.Overwritten, "key", "keys"))
	}
	if would.Deleted > 0 {
		parts = append(parts, "delete "+countOf(would.Deleted, "key", "keys"))
	}
	c.what = strings.Join(parts, " and ")
	return c
}

// restoreError returns the error for a restore that has ended early.
func restoreError(path string, err error) error {
	switch {
	case errors.Is(err, kvdb.ErrExist):
		return advise(err, "--overwrite replaces other values, --only-missing leaves them alone")
	case errors.Is(err, backup.ErrIncompatible):
		return advise(err, "--on-incompatible skip leaves them out")
	case errors.Is(err, kvdb.ErrUnknownOutcome):
		return advise(err, "run the command again to go on")
	}
	return backupError(path, err)
}

// showRestored prints what a restore did.
func (s *session) showRestored(r backup.Restored) error {
	facts := [][2]string{
		{"pairs", strconv.Itoa(r.Pairs)},
		{"created", strconv.Itoa(r.Created)},
		{"overwritten", strconv.Itoa(r.Overwritten)},
		{"unchanged", strconv.Itoa(r.Unchanged)},
	}
	for _, fact := range []struct {
		name string
		n    int
	}{{"kept", r.Kept}, {"skipped", r.Skipped}, {"expired", r.Expired}, {"deleted", r.Deleted}, {"others", r.Others}} {
		if fact.n > 0 {
			facts = append(facts, [2]string{fact.name, strconv.Itoa(fact.n)})
		}
	}
	return s.out.facts(facts, r, "")
}
