package command

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
)

// newCompact returns the command that removes history.
func newCompact(a *app) *cobra.Command {
	const form = "INDEX"
	c := &cobra.Command{
		Use:   "compact " + form,
		Short: "Remove the history before an index",
		Long: `Remove the history before an index, to save space. A watch cannot begin at an
index whose history is removed. All programs that use the store are affected,
whatever their domain. The space itself is freed by "kvdb defrag".

The index of the store is in what "kvdb get -o json KEY" prints. Only etcd v3
can compact; etcd v2 keeps the last 1000 events, and others keep no history.`,
		Example:           `  kvdb compact --dry-run 1200` + "\n" + `  kvdb compact --yes 1200`,
		Args:              usage(1, 1, form),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := confirms(c)
	c.RunE = a.runs(changes, func(ctx context.Context, s *session, args []string) error {
		index, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil || index == 0 {
			return usagef(`the index %q must be a number from 1: "kvdb get -o json KEY" shows that of the store`, args[0])
		}
		if err := s.permits(compacting); err != nil {
			return err
		}
		if goOn, err := s.confirm(ctx, f, &change{what: "remove the history before index " + args[0]}); !goOn {
			return err
		}
		err = s.kv.Compact(index)
		if code, _ := exitOf(ctx, err); code == exitOther { // what is left to be wrong
			return usagef(`index %d: %w: "kvdb get -o json KEY" shows that of the store`, index, err)
		}
		return err
	})
	return c
}
