package command

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/transfer"
)

// application are the flags of apply.
type application struct {
	*confirmation
	from   wantedFlags
	prefix string
	prune  bool
}

// newApply returns the command that makes a store have the pairs of a file.
func newApply(a *app) *cobra.Command {
	const form = "FILE"
	var f application
	c := &cobra.Command{
		Use:   "apply " + form,
		Short: "Make a store have the pairs of a file, and show the differences",
		Long: `Compare the store with a file or folder of the pairs that are wanted, show the
differences as "kvdb diff" does, ask, and make them. The file is one that "kvdb
import" reads; - is standard input. With --prune, the keys that begin with
--prefix and are not in the file are deleted. Two pairs are the same if their
values are, and both or none expire.

It is not one step: if it ends early, run it again.`,
		Example: `  kvdb apply --dry-run app.yaml
  kvdb apply --yes app.yaml
  kvdb apply --prune --prefix app/ app.yaml`,
		Args:              usage(1, 1, form),
		ValidArgsFunction: completeFiles,
	}
	f.confirmation = confirms(c).withAll(c)
	f.from.add(c)
	c.Flags().StringVar(&f.prefix, "prefix", "", "the file must have only keys that begin with this")
	c.Flags().BoolVar(&f.prune, "prune", false, "delete the keys with --prefix that are not in the file")
	_ = c.RegisterFlagCompletionFunc("prefix", a.completeKeys) // it exists
	c.RunE = a.runs(writes, func(ctx context.Context, s *session, args []string) error {
		return s.apply(ctx, args[0], f)
	})
	return c
}

func (s *session) apply(ctx context.Context, path string, f application) error {
	if f.prune {
		if err := f.checkPrefix(f.prefix); err != nil {
			return err
		}
	}
	pairs, err := s.wanted(ctx, path, f.from)
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		if !strings.HasPrefix(pair.Key, f.prefix) {
			return usagef("%s: the key %q does not begin with the --prefix %q", nameOf(path), pair.Key, f.prefix)
		}
	}
	todo, err := s.compareWanted(pairs, f.prefix, f.prune)
	if err != nil {
		return err
	}
	expires := func(pair *kvdb.KVPair) bool { return pair != nil && pair.TTL > 0 }
	ttl := slices.ContainsFunc(todo.differences, func(d transfer.Difference) bool { return expires(d.Old) || expires(d.New) })
	if err := s.showDifferences(valuesOf(todo.differences), ttl, false); err != nil {
		return err
	}
	if err := s.out.flush(); err != nil { // before the question
		return err
	}
	what := &change{verb: "change"}
	for _, d := range todo.differences {
		what.add(d.Key())
	}
	if goOn, err := s.confirm(ctx, f.confirmation, what); !goOn {
		return err
	}
	return s.carryOut(ctx, todo)
}
