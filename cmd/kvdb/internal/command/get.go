package command

import (
	"bytes"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// newGet returns the command that prints values. It is the model of all commands: a function
// with the text of the help, the flags in variables, and the work in a function with a
// session.
func newGet(a *app) *cobra.Command {
	const form = "KEY..."
	return &cobra.Command{
		Use:   "get " + form,
		Short: "Print the value of a key",
		Long: `Print the value of a key, as it is; on a terminal with control characters
escaped and a newline at the end. With several keys, or with -o, print what else
the store knows about the pairs.`,
		Example: `  kvdb get greeting
  kvdb get -o json greeting
  kvdb get -o table a b c`,
		Args:              usage(1, -1, form),
		ValidArgsFunction: a.completeKeys,
		RunE: a.runs(reads, func(_ context.Context, s *session, keys []string) error {
			if len(keys) > 1 {
				return s.out.list(pairColumns, eachRow(keys, func(key string) (row, error) {
					pair, err := s.getPair(key)
					return pairRow(pair), err
				}))
			}
			s.out.standard(formatRaw)
			pair, err := s.getPair(keys[0])
			if err != nil {
				return err
			}
			if s.Terminal.Out && !s.out.given {
				_, err = s.out.WriteString(escapeLines(string(bytes.TrimSuffix(pair.Value, []byte("\n")))) + "\n")
				return err
			}
			return s.out.one(pairColumns, pairRow(pair))
		}),
	}
}

// eachRow returns the rows of the items, such as keys.
func eachRow[T any](items []T, of func(item T) (row, error)) func(yield func(row, error) bool) {
	return func(yield func(row, error) bool) {
		for _, item := range items {
			if r, err := of(item); !yield(r, err) {
				return
			}
		}
	}
}

// getPair returns the pair at key with its TTL, which is not read if only the value is written.
// It never returns nil.
func (s *session) getPair(key string) (*kvdb.KVPair, error) {
	pair, err := s.kv.Get(key)
	if err != nil {
		return &kvdb.KVPair{}, about(key, err)
	}
	if pair.TTL == 0 && s.out.format != formatRaw {
		remaining, _, err := s.ttlOf(key)
		if err != nil {
			return pair, err
		}
		pair.TTL = wholeSeconds(remaining)
	}
	return pair, nil
}

// ttlOf is [kvdb.TTLOf]. A store without TTLs has no key that expires.
func (s *session) ttlOf(key string) (remaining time.Duration, has bool, err error) {
	if s.limits.NoTTL {
		return 0, false, nil
	}
	remaining, has, err = kvdb.TTLOf(s.kv, key)
	return remaining, has, about(key, err)
}

// wholeSeconds returns d in seconds, rounded up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
