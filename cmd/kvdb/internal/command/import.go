package command

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
)

// newImport returns the command that writes the pairs of a file.
func newImport(a *app) *cobra.Command {
	const form = "FILE"
	var from wantedFlags
	c := &cobra.Command{
		Use:   "import " + form,
		Short: "Write the pairs of a file or folder",
		Long: `Write the pairs of a file or folder as "kvdb export" makes it, or of standard
input if FILE is -. Pairs that the store has already are left alone; before
others are replaced, a question is asked. The pairs are checked before the first
one is written, but the import is not one step: if it ends early, run it again.

A key expires as long after the import as it would have after the export. The
format is found out, unless --format says it. In YAML, a value is a text,
!!binary, or a mapping with value and ttl (in seconds). In folders, names that
begin with a dot count for nothing.`,
		Example: `  kvdb import all.jsonl
  kvdb import --dry-run conf
  consul kv export app/ | kvdb -s bolt:app.db import --yes -`,
		Args:              usage(1, 1, form),
		ValidArgsFunction: completeFiles,
	}
	f := confirms(c)
	from.add(c)
	c.RunE = a.runs(writes, func(ctx context.Context, s *session, args []string) error {
		pairs, err := s.wanted(ctx, args[0], from)
		if err != nil {
			return err
		}
		todo, err := s.compareWanted(pairs, "", false)
		if err != nil {
			return err
		}
		replaced := &change{verb: "replace"}
		for _, d := range todo.differences {
			if d.Old != nil {
				replaced.add(d.Key())
			}
		}
		goOn, err := s.confirm(ctx, f, replaced)
		if goOn {
			err = s.carryOut(ctx, todo)
		}
		if err != nil {
			return err
		}
		r := importRecord{len(todo.differences) - replaced.keys, replaced.keys, todo.same}
		return s.out.facts([][2]string{
			{"new", strconv.Itoa(r.New)},
			{"different", strconv.Itoa(r.Different)},
			{"same", strconv.Itoa(r.Same)},
		}, r, "")
	})
	return c
}

// importRecord has the numbers of pairs that the store did not have, had with other values, and
// had.
type importRecord struct {
	New       int `json:"new"`
	Different int `json:"different"`
	Same      int `json:"same"`
}

// completeFiles offers the names of files and folders.
func completeFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}
