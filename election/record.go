package election

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/retry"
)

// errOutdated means that a later leader has published its record, so this one must have lost
// its lock.
var errOutdated = errors.New("a later leader was elected")

// record is the value, in JSON, of the key that says who was elected last. A record's token
// never decreases. Without an ID it says that the leader with that token has resigned.
type record struct {
	ID    string `json:"id,omitempty"`
	Token uint64 `json:"token"`
}

// recordKey returns the key of the record of the election at key. It is in the same directory
// and hidden from Enumerate.
func recordKey(key string) string {
	name := strings.LastIndex(key, kvdb.DefaultSeparator) + 1
	return key[:name] + "_elected." + key[name:]
}

// read returns the record at key and its pair. Without a record, the pair has the
// ModifiedIndex 0.
func read(kv kvdb.Kvdb, key string) (record, *kvdb.KVPair, error) {
	r, pair, err := kvdb.GetAs[record](kv, key)
	if errors.Is(err, kvdb.ErrNotFound) {
		return record{}, &kvdb.KVPair{Key: key}, nil
	}
	if err != nil {
		return record{}, nil, fmt.Errorf("the record %q of the election: %w", key, err)
	}
	if r.Token >= pair.ModifiedIndex {
		// The record is from another store, from which the key was copied. In its own store
		// it was written after the lock was obtained.
		r = record{}
	}
	return r, pair, nil
}

// write writes a record if the key is unchanged since it had the ModifiedIndex index.
func write(kv kvdb.Kvdb, key string, r record, index uint64) (*kvdb.KVPair, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return kv.CompareAndSet(&kvdb.KVPair{Key: key, Value: value, ModifiedIndex: index}, kvdb.KVModifiedIndex, nil)
}

// publish records that l leads, and returns the pair of the record. A former leader that does
// not know yet that it lost its lock cannot replace the record of a later one.
func publish(ctx context.Context, kv kvdb.Kvdb, key string, l Leader) (*kvdb.KVPair, error) {
	// A stale read may return an earlier record, so that the write fails, for some time.
	backoff := retry.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	kv = kvdb.WithContext(ctx, kv)
	for {
		now, pair, err := read(kv, key)
		if err != nil {
			return nil, err
		}
		if now.Token > l.Token {
			return nil, errOutdated
		}
		pair, err = write(kv, key, record(l), pair.ModifiedIndex)
		if !errors.Is(err, kvdb.ErrModified) && !errors.Is(err, kvdb.ErrNotFound) {
			return pair, err
		}
		if err := backoff.Wait(ctx); err != nil {
			return nil, err
		}
	}
}

// retract records that the leader has resigned whose record is published, unless another
// leader has replaced the record.
func retract(kv kvdb.Kvdb, published *kvdb.KVPair) error {
	var r record
	if err := json.Unmarshal(published.Value, &r); err != nil {
		return err
	}
	_, err := write(kv, published.Key, record{Token: r.Token}, published.ModifiedIndex)
	return err
}

// Current returns who leads in the election at key, or the zero value if nobody does. It asks
// the store whether the leader still holds the lock.
func Current(kv kvdb.Kvdb, key string) (Leader, error) {
	elected, _, err := read(kv, recordKey(key))
	if err != nil || elected.ID == "" {
		return Leader{}, err
	}
	locked, owner, err := kv.IsKeyLocked(key)
	if err != nil || !locked || owner != elected.ID {
		return Leader{}, err
	}
	return Leader(elected), nil
}
