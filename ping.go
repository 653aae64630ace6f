package kvdb

import (
	"context"
	"errors"
)

// pingKey is read by Ping. It need not exist, and Enumerate leaves it out.
const pingKey = "_kvdb-ping"

// Ping returns nil if the store behind kv serves reads, for readiness probes. It is one
// read of a key of the domain, so its errors are those of [Kvdb.Get], and it takes a
// majority of the store's servers unless the instance reads with [ReadStale]. It ends
// with ctx, and within the time limit of a call.
func Ping(ctx context.Context, kv Kvdb) error {
	_, err := WithContext(ctx, kv).Get(pingKey)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
