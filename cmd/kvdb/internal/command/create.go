package command

import (
	"github.com/spf13/cobra"

	"github.com/portworx/kvdb"
)

// newCreate returns the command that writes a key that does not exist.
func newCreate(a *app) *cobra.Command {
	return a.writer("create", "Write a key that does not exist yet", "Write a key, but only if it does not exist yet: else the exit code is 4.",
		func(s *session, key string, value []byte, ttl uint64) (*kvdb.KVPair, error) {
			return s.kv.Create(key, value, ttl)
		})
}

// newUpdate returns the command that writes a key that exists.
func newUpdate(a *app) *cobra.Command {
	return a.writer("update", "Write a key that exists", "Write a key, but only if it exists: else the exit code is 1.",
		func(s *session, key string, value []byte, ttl uint64) (*kvdb.KVPair, error) {
			pair, err := s.kv.Update(key, value, ttl)
			return pair, advise(err, `"kvdb create" writes a key that does not exist`)
		})
}
