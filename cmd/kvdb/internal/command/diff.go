package command

import (
	"context"
	"errors"
	"iter"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/transfer"
)

// comparison are the flags of diff.
type comparison struct {
	transfer.CompareOptions
	quiet bool
}

// newDiff returns the command that shows what differs between two stores.
func newDiff(a *app) *cobra.Command {
	const form = otherForm + " [PREFIX]"
	var f comparison
	c := &cobra.Command{
		Use:   "diff " + form,
		Short: "Show the keys at which two stores differ",
		Long: `Compare the pairs of the store with those of another one, STORE, which is a URL
or @CONTEXT. A pair that only the store has is shown with -, one that only the
other has with +, and one that has changed with both. Indexes are not compared,
and TTLs only with --ttl. PREFIX is how the keys begin, such as app/.

The exit code is 0 if there is no difference, and 1 if there is one.`,
		Example: `  kvdb -s @old diff @new
  kvdb diff bolt:copy.db app/
  kvdb diff -q @new && echo equal`,
		Args:              usage(1, 2, form),
		ValidArgsFunction: a.completeOther,
		RunE: a.runs(reads, func(ctx context.Context, s *session, args []string) (err error) {
			other, err := s.openOther(ctx, args[0], reads)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, other.close(err)) }()
			f.Prefix = argument(args, 1)
			return s.diff(ctx, other, f)
		}),
	}
	c.Flags().BoolVar(&f.TTL, "ttl", false, "a pair that expires differs from one that does not")
	c.Flags().BoolVar(&f.KeysOnly, "keys", false, "compare only which keys there are")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "print nothing; end at the first difference")
	return c
}

// diff shows how the other store differs.
func (s *session) diff(ctx context.Context, other *session, f comparison) error {
	p := s.startProgress("compare")
	defer p.end()
	differences := transfer.Compare(ctx, s.counting(p), other.kv, f.CompareOptions)
	if f.quiet {
		next, stop := iter.Pull2(differences)
		defer stop()
		_, err, different := next()
		if err == nil && different {
			err = exitError{code: exitNo}
		}
		return err
	}
	n := 0
	err := s.showDifferences(func(yield func(transfer.Difference, error) bool) {
		for d, err := range differences {
			if s.Terminal.Out {
				p.end() // the terminal shows the differences
			}
			n++
			if !yield(d, err) {
				return
			}
		}
	}, f.TTL, f.KeysOnly)
	if err == nil && n > 0 {
		err = wrap(errDifference, "%s", countOf(n, "key differs", "keys differ"))
	}
	return err
}

// showDifferences writes differences.
func (s *session) showDifferences(differences iter.Seq2[transfer.Difference, error], ttl, keysOnly bool) error {
	columns := []column{{}, {title: "KEY", flexible: true}}
	if ttl {
		columns = append(columns, column{title: "TTL", right: true})
	}
	if !keysOnly {
		columns = append(columns, column{title: "VALUE", flexible: true})
	}
	cells := func(sign string, pair *kvdb.KVPair) []string {
		c := []string{sign, pair.Key}
		if ttl {
			c = append(c, seconds(pair.TTL))
		}
		if !keysOnly {
			c = append(c, string(pair.Value))
		}
		return c
	}
	return s.out.list(columns, func(yield func(row, error) bool) {
		for d, err := range differences {
			r := row{}
			if err == nil {
				r = row{value: differenceRecordOf(d, ttl), raw: []byte(d.Key() + "\n")}
			}
			if err == nil && s.out.format == formatTable {
				if d.Old != nil {
					r.cells = cells("-", d.Old)
				}
				if d.Old != nil && d.New != nil && !yield(r, nil) {
					return
				}
				if d.New != nil {
					r.cells = cells("+", d.New)
				}
			}
			if !yield(r, err) {
				return
			}
		}
	})
}

// differenceRecord is a difference as JSON.
type differenceRecord struct {
	Key         string `json:"key"`
	KeyEncoding string `json:"key_encoding,omitempty"`
	// Old and New are null if that side does not have the key.
	Old *sideRecord `json:"old"`
	New *sideRecord `json:"new"`
}

// sideRecord is the pair of one side.
type sideRecord struct {
	Value    *string `json:"value,omitempty"`
	Encoding string  `json:"encoding,omitempty"`
	// TTL is missing if TTLs are not compared.
	TTL *int64 `json:"ttl,omitempty"`
}

func differenceRecordOf(d transfer.Difference, ttl bool) differenceRecord {
	side := func(pair *kvdb.KVPair) *sideRecord {
		if pair == nil {
			return nil
		}
		r := recordOf(pair)
		s := &sideRecord{Value: r.Value, Encoding: r.Encoding}
		if ttl {
			s.TTL = &r.TTL
		}
		return s
	}
	key := recordOf(&kvdb.KVPair{Key: d.Key()})
	return differenceRecord{key.Key, key.KeyEncoding, side(d.Old), side(d.New)}
}
