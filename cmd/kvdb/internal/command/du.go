package command

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// usageOf is what a directory or a key takes.
type usageOf struct {
	Name       string `json:"name"`
	Keys       int    `json:"keys"`
	KeyBytes   int64  `json:"key_bytes"`
	ValueBytes int64  `json:"value_bytes"`
}

func (u *usageOf) add(pair *kvdb.KVPair) {
	u.Keys++
	u.KeyBytes += int64(len(pair.Key))
	u.ValueBytes += int64(len(pair.Value))
}

// row returns the usage for a table. exact shows bytes, not units.
func (u *usageOf) row(exact bool) row {
	size := byteSize
	if exact {
		size = func(n int64) string { return strconv.FormatInt(n, 10) }
	}
	name, _ := encodeText([]byte(u.Name))
	value := *u
	value.Name = name
	return row{
		[]string{size(u.KeyBytes + u.ValueBytes), strconv.Itoa(u.Keys), u.Name}, value,
		[]byte(strconv.FormatInt(u.KeyBytes+u.ValueBytes, 10) + "\t" + u.Name + "\n"),
	}
}

// newDu returns the command that shows what directories take.
func newDu(a *app) *cobra.Command {
	const form = "[DIR]"
	var depth int
	var exact bool
	c := &cobra.Command{
		Use:   "du " + form,
		Short: "Show how many keys and bytes are in directories",
		Long: `Show how many keys are below a directory, and how many bytes their keys and
values have, for each name of its first level, or of the first --depth levels,
and in all. What the store adds to them is not counted.`,
		Example:           "  kvdb du\n  kvdb du -d 2 app",
		Args:              usage(0, 1, form),
		ValidArgsFunction: a.completeKeys,
		RunE: a.runs(reads, func(_ context.Context, s *session, args []string) error {
			if depth < 0 {
				return usagef("--depth %d must not be negative", depth)
			}
			columns := []column{{title: "SIZE", right: true}, {title: "KEYS", right: true}, {title: "NAME", flexible: true}}
			return s.out.list(columns, s.usage(directory(argument(args, 0)), depth, exact))
		}),
	}
	c.Flags().IntVarP(&depth, "depth", "d", 1, "number of levels, 0 for the sum only")
	c.Flags().BoolVarP(&exact, "bytes", "b", false, "show bytes instead of units")
	return c
}

// usage returns a row for each name of the first levels below prefix, and one for all. Keys
// are sorted, so the pairs of a name come one after another.
func (s *session) usage(prefix string, depth int, exact bool) func(yield func(row, error) bool) {
	return func(yield func(row, error) bool) {
		total := usageOf{Name: "total"}
		var now *usageOf
		for pair, err := range s.pairs(prefix, false) {
			if err != nil {
				yield(row{}, err)
				return
			}
			total.add(pair)
			if depth == 0 {
				continue
			}
			name := nameAt(pair.Key, prefix, depth)
			if now == nil || now.Name != name {
				if now != nil && !yield(now.row(exact), nil) {
					return
				}
				now = &usageOf{Name: name}
			}
			now.add(pair)
		}
		if now != nil && !yield(now.row(exact), nil) {
			return
		}
		yield(total.row(exact), nil)
	}
}

// nameAt returns the key, or the directory that it is in, of at most depth levels below prefix.
func nameAt(key, prefix string, depth int) string {
	end := len(prefix)
	for range depth {
		i := strings.Index(key[end:], kvdb.DefaultSeparator)
		if i < 0 {
			return key
		}
		end += i + len(kvdb.DefaultSeparator)
	}
	return key[:end]
}
