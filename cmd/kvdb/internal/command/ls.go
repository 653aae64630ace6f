package command

import (
	"context"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// directory returns the prefix of the keys below a directory.
func directory(dir string) string {
	if dir == "" || strings.HasSuffix(dir, kvdb.DefaultSeparator) {
		return dir
	}
	return dir + kvdb.DefaultSeparator
}

// argument returns the argument with that number, or "".
func argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// pairs returns the pairs whose keys begin with prefix, hidden ones too. Their values are nil
// if only the keys are wanted.
func (s *session) pairs(prefix string, keysOnly bool) iter.Seq2[*kvdb.KVPair, error] {
	return kvdb.PairsWith(s.kv, prefix, kvdb.PageOptions{Hidden: true, KeysOnly: keysOnly})
}

// newLs returns the command that lists keys.
func newLs(a *app) *cobra.Command {
	const form = "[DIR]"
	var recursive, long bool
	c := &cobra.Command{
		Use:   "ls " + form,
		Short: "List the names in a directory, or all keys below it",
		Long: `List the names in a directory: the keys and directories of its first level. With
-r, list all keys below it. With -l, add sizes in bytes, indexes and TTLs. Keys
whose last component begins with _ are listed too.`,
		Example: `  kvdb ls
  kvdb ls -r app
  kvdb ls -l app`,
		Args:              usage(0, 1, form),
		ValidArgsFunction: a.completeKeys,
		RunE: a.runs(reads, func(_ context.Context, s *session, args []string) error {
			dir := argument(args, 0)
			if recursive || long {
				options := kvdb.PageOptions{Hidden: true, KeysOnly: !long, TTL: long && !s.limits.NoTTL}
				every := func(*kvdb.KVPair) bool { return true }
				return s.listKeys(s.rows(directory(dir), options, long, every), long)
			}
			names, err := s.kv.Keys(dir, "")
			if err != nil {
				return about(dir, err)
			}
			return s.listNames(func(yield func(row, error) bool) {
				for _, name := range names {
					text, encoding := encodeText([]byte(name))
					value := map[string]string{"name": text}
					if encoding == encodingBase64 {
						value["encoding"] = encoding
					}
					if !yield(row{[]string{name}, value, []byte(name + "\n")}, nil) {
						return
					}
				}
			})
		}),
	}
	c.Flags().BoolVarP(&recursive, "recursive", "r", false, "list all keys below the directory")
	c.Flags().BoolVarP(&long, "long", "l", false, "list all keys, with what is known about them")
	return c
}

// longColumns are the columns of a long list of keys.
var longColumns = []column{
	{title: "SIZE", right: true}, {title: "CREATED", right: true}, {title: "MODIFIED", right: true},
	{title: "TTL", right: true}, {title: "KEY", flexible: true},
}

// rows returns a row for each pair with the prefix that match accepts.
func (s *session) rows(prefix string, options kvdb.PageOptions, long bool, match func(*kvdb.KVPair) bool) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for pair, err := range kvdb.PairsWith(s.kv, prefix, options) {
			if err != nil {
				yield(row{}, err)
				return
			}
			if !match(pair) {
				continue
			}
			cells := []string{pair.Key}
			if long {
				cells = []string{strconv.Itoa(len(pair.Value)), number(pair.CreatedIndex), number(pair.ModifiedIndex), seconds(pair.TTL), pair.Key}
			}
			if !yield(row{cells, keyRecord(pair, long), []byte(pair.Key + "\n")}, nil) {
				return
			}
		}
	}
}

// keyRecord returns the record of a pair without its value, and with its size if that is known.
func keyRecord(pair *kvdb.KVPair, sized bool) any {
	without := *pair
	without.Value = nil
	r := recordOf(&without)
	if !sized {
		return r
	}
	return struct {
		record
		Size int `json:"size"`
	}{r, len(pair.Value)}
}

// listKeys writes the rows of keys.
func (s *session) listKeys(rows iter.Seq2[row, error], long bool) error {
	if long {
		return s.out.list(longColumns, rows)
	}
	return s.listNames(rows)
}

// listNames writes one name on each line. No name is cut off.
func (s *session) listNames(rows iter.Seq2[row, error]) error {
	if s.out.format != formatTable {
		return s.out.list(nil, rows)
	}
	for r, err := range rows {
		if err != nil {
			return err
		}
		if _, err := s.out.WriteString(escape(r.cells[0]) + "\n"); err != nil {
			return err
		}
	}
	return nil
}
