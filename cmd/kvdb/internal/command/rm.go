package command

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// removal are the flags of rm.
type removal struct {
	*confirmation
	conditions
	recursive, force bool
}

// newRm returns the command that deletes keys.
func newRm(a *app) *cobra.Command {
	const form = "KEY..."
	var f removal
	c := &cobra.Command{
		Use:   "rm " + form,
		Short: "Delete keys, or all keys of a directory",
		Long: `Delete keys. With -r, delete all keys below a directory, in one step where the
store can do that; its keys are counted and shown, and a question is asked. The
directory "" is the whole domain, and needs --all. With --modified, --created or
--value, delete one key if it is so: else the exit code is 4. With -o, print the
pairs that were deleted.`,
		Example: `  kvdb rm greeting
  kvdb rm -r --dry-run app
  kvdb rm greeting --modified 7`,
		Args:              usage(1, -1, form),
		ValidArgsFunction: a.completeKeys,
	}
	f.confirmation = confirms(c).withAll(c)
	f.conditions.add(c)
	c.Flags().BoolVarP(&f.recursive, "recursive", "r", false, "delete all keys below the directories")
	c.Flags().BoolVarP(&f.force, "force", "f", false, "a missing key is no error")
	c.RunE = a.runs(writes, func(ctx context.Context, s *session, args []string) error {
		flags, value := f.flags()
		switch {
		case (flags != 0 || value != nil) && (f.recursive || len(args) > 1):
			return usagef("a condition is for one key: leave out -r and the other keys")
		case flags != 0 && value != nil:
			return usagef("use --value or the indexes, not both")
		case f.recursive:
			return s.removeTrees(ctx, &f, args)
		}
		return s.removeKeys(ctx, &f, args)
	})
	return c
}

// removeKeys deletes keys one by one. It goes on after a key that is missing.
func (s *session) removeKeys(ctx context.Context, f *removal, keys []string) error {
	change := &change{verb: "delete"}
	for _, key := range keys {
		change.add(key)
	}
	if f.dryRun {
		_, err := s.confirm(ctx, f.confirmation, change)
		return err
	}
	var missing error
	err := s.out.list(pairColumns, func(yield func(row, error) bool) {
		for _, key := range keys {
			pair, err := s.remove(f, key)
			switch {
			case errors.Is(err, kvdb.ErrNotFound) && f.force:
			case errors.Is(err, kvdb.ErrNotFound):
				missing = errors.Join(missing, about(key, err))
			case err != nil:
				yield(row{}, about(key, err))
				return
			case s.out.given:
				if !yield(pairRow(pair), nil) {
					return
				}
			}
		}
	})
	return errors.Join(err, missing)
}

// remove deletes a key if the conditions hold.
func (s *session) remove(f *removal, key string) (*kvdb.KVPair, error) {
	flags, value := f.flags()
	if flags == 0 && value == nil {
		return s.kv.Delete(key)
	}
	return s.kv.CompareAndDelete(&kvdb.KVPair{Key: key, Value: value, ModifiedIndex: f.modified, CreatedIndex: f.created}, flags)
}

// removeTrees deletes all keys below the directories.
func (s *session) removeTrees(ctx context.Context, f *removal, dirs []string) error {
	change := &change{verb: "delete"}
	for _, dir := range dirs {
		if err := f.checkPrefix(dir); err != nil {
			return err
		}
		for pair, err := range s.pairs(directory(dir), true) {
			if err != nil {
				return about(dir, err)
			}
			change.add(pair.Key)
		}
	}
	if goOn, err := s.confirm(ctx, f.confirmation, change); !goOn {
		return err
	}
	for _, dir := range dirs {
		if err := s.kv.DeleteTree(dir); err != nil {
			return about(dir, err)
		}
	}
	return nil
}
