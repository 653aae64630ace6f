package command

import (
	"context"
	"path"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// search are the flags of find.
type search struct {
	name, regexp    string
	larger, smaller int
	since           uint64
	expires, long   bool
	pattern         *regexp.Regexp
}

// compile reads the patterns.
func (f *search) compile() error {
	if _, err := path.Match(f.name, ""); err != nil {
		return usagef("--name %q: %w: in it * ? and [a-z] are special, also after a backslash", f.name, err)
	}
	var err error
	if f.pattern, err = regexp.Compile(f.regexp); err != nil {
		return usagef("--regexp: %w", err)
	}
	return nil
}

// match reports whether the pair is searched for.
func (f *search) match(pair *kvdb.KVPair) bool {
	if f.name != "" {
		if match, _ := path.Match(f.name, path.Base(pair.Key)); !match { // the pattern was checked
			return false
		}
	}
	size := len(pair.Value)
	return f.pattern.MatchString(pair.Key) && size > f.larger && (f.smaller < 0 || size < f.smaller) &&
		pair.ModifiedIndex > f.since && (!f.expires || pair.TTL > 0)
}

// newFind returns the command that finds keys.
func newFind(a *app) *cobra.Command {
	const form = "[DIR]"
	var f search
	c := &cobra.Command{
		Use:   "find " + form,
		Short: "Find keys by their names, sizes, indexes and TTLs",
		Long: `List the keys below a directory for which all conditions hold. The exit code is
0 also if there are none.`,
		Example: `  kvdb find --name '*.conf'
  kvdb find app --larger 100000 -l
  kvdb find --since 1200`,
		Args:              usage(0, 1, form),
		ValidArgsFunction: a.completeKeys,
		RunE: a.runs(reads, func(_ context.Context, s *session, args []string) error {
			if err := f.compile(); err != nil {
				return err
			}
			return s.listKeys(s.found(directory(argument(args, 0)), &f), f.long)
		}),
	}
	c.Flags().StringVar(&f.name, "name", "", "pattern of the last component, such as '*.conf'")
	c.Flags().StringVar(&f.regexp, "regexp", "", "regular expression that is somewhere in the key")
	c.Flags().IntVar(&f.larger, "larger", -1, "size in bytes that the value exceeds")
	c.Flags().IntVar(&f.smaller, "smaller", -1, "size in bytes that the value is below")
	c.Flags().Uint64Var(&f.since, "since", 0, "index after which the key was written")
	c.Flags().BoolVar(&f.expires, "expires", false, "the key has a TTL")
	c.Flags().BoolVarP(&f.long, "long", "l", false, "list what is known about the keys")
	return c
}

// found returns the rows of the keys that match.
func (s *session) found(prefix string, f *search) func(yield func(row, error) bool) {
	options := kvdb.PageOptions{
		Hidden: true, TTL: (f.long || f.expires) && !s.limits.NoTTL,
		KeysOnly: !f.long && f.larger < 0 && f.smaller < 0,
	}
	return s.rows(prefix, options, f.long, f.match)
}
