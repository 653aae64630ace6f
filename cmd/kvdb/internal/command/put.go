package command

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// newPut returns the command that writes a key.
func newPut(a *app) *cobra.Command {
	return a.writer("put", "Write a key", "Write a key, whether it exists or not.",
		func(s *session, key string, value []byte, ttl uint64) (*kvdb.KVPair, error) {
			return s.kv.Put(key, value, ttl)
		})
}

// writer returns a command that writes one key with a value and a TTL.
func (a *app) writer(name, short, long string,
	write func(s *session, key string, value []byte, ttl uint64) (*kvdb.KVPair, error)) *cobra.Command {
	const form = "KEY [VALUE]"
	var value valueFlags
	var ttl time.Duration
	c := &cobra.Command{
		Use:   name + " " + form,
		Short: short,
		Long: long + `
The value is an argument, or a file with -f, or else what comes from standard
input, as it is. Nothing is printed, but with -o the pair.`,
		Example: "  kvdb " + name + " greeting hello\n  kvdb " + name + " --ttl 1m session open\n  kvdb " + name + " -f logo.png logo",
		Args:    usage(1, 2, form),
		RunE: a.runs(writes, func(ctx context.Context, s *session, args []string) error {
			text, err := s.value(ctx, value, args[1:])
			if err != nil {
				return err
			}
			life, err := s.ttlSeconds(ttl)
			if err != nil {
				return err
			}
			pair, err := write(s, args[0], text, life)
			if err != nil {
				return about(args[0], err)
			}
			return s.wrote(pair)
		}),
		ValidArgsFunction: a.completeKeys,
	}
	value.add(c)
	c.Flags().DurationVar(&ttl, "ttl", 0, "delete the key after that time, such as 90s or 1h")
	return c
}

// wrote prints a pair that was written, if the user chose a format.
func (s *session) wrote(pair *kvdb.KVPair) error {
	if !s.out.given {
		return nil
	}
	return s.out.one(pairColumns, pairRow(pair))
}

// valueFlags say where a value comes from.
type valueFlags struct{ file string }

func (f *valueFlags) add(c *cobra.Command) {
	c.Flags().StringVarP(&f.file, "file", "f", "", "file with the value, - for standard input")
	_ = c.MarkFlagFilename("file") // the flag exists
}

// value returns the value in args, in the file, or else of the standard input.
func (s *session) value(ctx context.Context, f valueFlags, args []string) ([]byte, error) {
	switch {
	case len(args) > 0 && f.file != "":
		return nil, usagef("the value is given twice: as an argument and as --file %s", f.file)
	case len(args) > 0:
		return []byte(args[0]), nil
	case f.file != "" && f.file != "-":
		text, err := os.ReadFile(f.file)
		if err != nil {
			return nil, usagef("value: %w", err)
		}
		return text, nil
	case f.file == "" && s.Terminal.In:
		return nil, usagef("the value is missing: add it, or use -f FILE, or -f - to type it")
	}
	return readAll(ctx, s.Stdin)
}

// ttlSeconds returns a TTL in seconds, or an error that says what the store takes.
func (s *session) ttlSeconds(ttl time.Duration) (uint64, error) {
	l := s.limits
	switch {
	case ttl == 0:
		return 0, nil
	case ttl < 0 || ttl%time.Second != 0:
		return 0, usagef("the TTL %v must be a number of whole seconds, such as 90s", ttl)
	case l.NoTTL:
		return 0, advise(kvdb.ErrTTLNotSupported, "%s has no TTLs: leave out --ttl", s.target)
	case ttl < l.MinTTL || l.MaxTTL > 0 && ttl > l.MaxTTL:
		return 0, advise(kvdb.ErrTTLNotSupported, "%s takes TTLs from %v to %v", s.target, l.MinTTL, l.MaxTTL)
	}
	return uint64(ttl / time.Second), nil
}
