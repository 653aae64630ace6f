package command

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// conditions are the flags about the pair that must be there.
type conditions struct {
	modified, created uint64
	value             string
	exists            bool

	set func(name string) bool // reports whether the user gave the flag
}

func (f *conditions) add(c *cobra.Command) {
	c.Flags().Uint64Var(&f.modified, "modified", 0, "index of the last write that the key must have")
	c.Flags().Uint64Var(&f.created, "created", 0, "index of its creation that the key must have")
	c.Flags().StringVar(&f.value, "value", "", "value that the key must have")
	f.set = func(name string) bool { return c.Flags().Changed(name) }
}

// flags returns the conditions for the library. The value is nil if it is no condition.
func (f *conditions) flags() (flags kvdb.KVFlags, value []byte) {
	if f.set("modified") {
		flags |= kvdb.KVModifiedIndex
	}
	if f.set("created") {
		flags |= kvdb.KVCreatedIndex
	}
	if f.exists {
		flags |= kvdb.KVPrevExists
	}
	if f.set("value") {
		value = append([]byte{}, f.value...)
	}
	return flags, value
}

// newCas returns the command that writes a key if it is as the user thinks.
func newCas(a *app) *cobra.Command {
	const form = "KEY [VALUE]"
	var value valueFlags
	var ttl time.Duration
	var f conditions
	c := &cobra.Command{
		Use:   "cas " + form,
		Short: "Write a key if it has an index or a value",
		Long: `Write a key if all conditions hold, in one step: else the exit code is 4, or 1
if the key does not exist. --modified 0 means that the key must not exist. The
value is an argument, or a file with -f, or what comes from standard input.`,
		Example: `  kvdb get -o json greeting
  kvdb cas greeting hi --modified 1
  kvdb cas greeting hello --value hi --ttl 1h`,
		Args:              usage(1, 2, form),
		ValidArgsFunction: a.completeKeys,
		RunE: a.runs(writes, func(ctx context.Context, s *session, args []string) error {
			flags, previous := f.flags()
			if flags == 0 && previous == nil {
				return usagef("no condition is given: use --modified, --created, --value or --exists, or else kvdb put")
			}
			text, err := s.value(ctx, value, args[1:])
			if err != nil {
				return err
			}
			life, err := s.ttlSeconds(ttl)
			if err != nil {
				return err
			}
			if life > 0 {
				flags |= kvdb.KVTTL
			}
			pair, err := s.kv.CompareAndSet(&kvdb.KVPair{Key: args[0], Value: text, TTL: int64(life),
				ModifiedIndex: f.modified, CreatedIndex: f.created}, flags, previous)
			if err != nil {
				return about(args[0], err)
			}
			return s.wrote(pair)
		}),
	}
	f.add(c)
	value.add(c)
	c.Flags().BoolVar(&f.exists, "exists", false, "the key must exist")
	c.Flags().DurationVar(&ttl, "ttl", 0, "delete the key after that time; without it the key stays")
	return c
}
