package command

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb/transfer"
)

// newDigest returns the command that prints the digest of pairs.
func newDigest(a *app) *cobra.Command {
	const form = "[PREFIX]"
	return &cobra.Command{
		Use:   "digest " + form,
		Short: "Print a digest of all keys and values",
		Long: `Print the number of pairs, their size and one digest of all keys and values. Two
stores with equal pairs have equal digests, of whatever kind they are. Indexes
and TTLs do not count. Hidden keys do, but not those of "kvdb copy". With -o
raw, only the digest is printed. PREFIX is how the keys begin, such as app/.

The digest is the SHA-256 over the pairs in the order of their keys: for each
the length of the key (8 bytes, the most significant first), the key, the length
of the value, and the value.`,
		Example: `  kvdb digest
  test "$(kvdb -s @old digest -o raw)" = "$(kvdb -s @new digest -o raw)"`,
		Args:              usage(0, 1, form),
		ValidArgsFunction: a.completeKeys,
		RunE: a.runs(reads, func(ctx context.Context, s *session, args []string) error {
			p := s.startProgress("digest")
			sum, err := transfer.Digest(ctx, s.counting(p), argument(args, 0))
			p.end()
			if err != nil {
				return err
			}
			return s.out.facts([][2]string{
				{"pairs", strconv.Itoa(sum.Pairs)},
				{"size", byteSize(sum.Bytes)},
				{"digest", sum.Digest},
			}, sum, sum.Digest)
		}),
	}
}

// facts writes what is known about one thing: for people a fact on each line, which is not cut
// off.
func (o *output) facts(facts [][2]string, value any, raw string) error {
	if o.format != formatTable {
		return o.one(nil, row{value: value, raw: []byte(raw)})
	}
	widest := 0
	for _, fact := range facts {
		widest = max(widest, width(fact[0]))
	}
	for _, fact := range facts {
		if _, err := o.WriteString(fact[0] + spaces(widest+gap-width(fact[0])) + escape(fact[1]) + "\n"); err != nil {
			return err
		}
	}
	return nil
}
