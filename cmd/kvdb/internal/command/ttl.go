package command

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// newTTL returns the command that shows and sets TTLs.
func newTTL(a *app) *cobra.Command {
	const form = "KEY [DURATION]"
	return &cobra.Command{
		Use:   "ttl " + form,
		Short: "Show or set the time after which a key is deleted",
		Long: `Print the time after which the key is deleted, or "none". With a duration, such
as 90s or 1h, the key keeps its value and is deleted after that time; 0 keeps it
for ever. On Consul the time that is shown is the maximum.`,
		Example:           "  kvdb ttl session\n  kvdb ttl session 10m\n  kvdb ttl session 0",
		Args:              usage(1, 2, form),
		ValidArgsFunction: a.completeKeys,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.runs(reads, func(_ context.Context, s *session, args []string) error { return s.showTTL(args[0]) })(c, args)
			}
			return a.runs(writes, func(ctx context.Context, s *session, args []string) error {
				duration, err := time.ParseDuration(args[1])
				if err != nil {
					return usagef("%q is not a duration: use one such as 90s, 10m or 1h, or 0", args[1])
				}
				ttl, err := s.ttlSeconds(duration)
				if err != nil {
					return err
				}
				return s.setTTL(ctx, args[0], int64(ttl))
			})(c, args)
		},
	}
}

// showTTL writes the TTL of a key.
func (s *session) showTTL(key string) error {
	remaining, has, err := kvdb.TTLOf(s.kv, key)
	if err != nil {
		return about(key, err)
	}
	text := "none"
	if has {
		text = seconds(wholeSeconds(remaining))
	}
	switch s.out.format {
	case formatJSON, formatJSONL:
		name, _ := encodeText([]byte(key))
		return s.out.writeJSON(map[string]any{"key": name, "ttl": wholeSeconds(remaining)})
	}
	_, err = s.out.WriteString(text + "\n")
	return err
}

// setTTL gives a key another TTL, and keeps its value whatever others write meanwhile.
func (s *session) setTTL(ctx context.Context, key string, ttl int64) error {
	for {
		pair, err := s.kv.Get(key)
		if err != nil {
			return about(key, err)
		}
		pair.TTL = ttl
		written, err := s.kv.CompareAndSet(pair, kvdb.KVModifiedIndex|kvdb.KVTTL, nil)
		switch {
		case errors.Is(err, kvdb.ErrModified) && ctx.Err() == nil:
			continue // somebody else wrote the key
		case err != nil:
			return about(key, err)
		}
		return s.wrote(written)
	}
}
