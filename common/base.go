// Package common has the parts of a kvdb.Kvdb that do not depend on the store: the encoding
// of values, the settings of locks, serialization, and a queue of watch updates. Programs
// that implement a Kvdb of their own build on it.
package common

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sirupsen/logrus"

	"github.com/portworx/kvdb"
)

// BaseKvdb is the part of a Kvdb that does not depend on the store. Embed it.
type BaseKvdb struct {
	// LockHoldTimeout is the maximum time that a lock may be held; 0 means no limit.
	LockHoldTimeout time.Duration
	// FatalCb is called on fatal errors. If it is nil, they are logged.
	FatalCb kvdb.FatalErrorCB
	// LockTryDuration is the maximum time that a Lock call waits; 0 means
	// kvdb.DefaultLockTryDuration.
	LockTryDuration time.Duration

	// mu protects the fields above while the instance is in use. Set them only before.
	mu sync.RWMutex
}

// WrapperName returns [kvdb.Wrapper_None].
func (b *BaseKvdb) WrapperName() kvdb.WrapperName { return kvdb.Wrapper_None }

// WrappedKvdb returns nil.
func (b *BaseKvdb) WrappedKvdb() kvdb.Kvdb { return nil }

// Removed does nothing.
func (b *BaseKvdb) Removed() {}

// SetWrappedKvdb returns [kvdb.ErrNotSupported], because b is not a wrapper.
func (b *BaseKvdb) SetWrappedKvdb(kvdb.Kvdb) error { return kvdb.ErrNotSupported }

// SetFatalCb sets the function that is called for fatal errors.
func (b *BaseKvdb) SetFatalCb(f kvdb.FatalErrorCB) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.FatalCb = f
}

// SetLockHoldDuration sets the maximum time that a lock may be held; 0 means no limit.
func (b *BaseKvdb) SetLockHoldDuration(timeout time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.LockHoldTimeout = timeout
}

// GetLockTryDuration returns the maximum time that a Lock call waits.
func (b *BaseKvdb) GetLockTryDuration() time.Duration {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.LockTryDuration == 0 {
		return kvdb.DefaultLockTryDuration
	}
	return b.LockTryDuration
}

// GetLockHoldDuration returns the maximum time that a lock may be held; 0 means no limit.
func (b *BaseKvdb) GetLockHoldDuration() time.Duration {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.LockHoldTimeout
}

// CheckLockTimeout calls LockTimedout if the lock on key, held since start, has been held
// for longer than timeout. A timeout of 0 means no limit.
func (b *BaseKvdb) CheckLockTimeout(key string, start time.Time, timeout time.Duration) {
	if held := time.Since(start); timeout > 0 && held > timeout {
		b.LockTimedout(key, held)
	}
}

// LockTimedout reports [kvdb.ErrLockHoldTimeoutTriggered] for the lock on key to
// the fatal callback.
func (b *BaseKvdb) LockTimedout(key string, after time.Duration) {
	b.Fatal(kvdb.ErrLockHoldTimeoutTriggered, "Lock %s held for %v", key, after)
}

// Fatal calls the fatal callback, or logs the error if there is none. It holds no mutex
// during the call.
func (b *BaseKvdb) Fatal(err error, format string, args ...interface{}) {
	b.mu.RLock()
	cb := b.FatalCb
	b.mu.RUnlock()
	if cb == nil {
		logrus.WithError(err).Errorf(format, args...)
		return
	}
	cb(err, format, args...)
}

// serializedPair is a pair in JSON.
type serializedPair struct {
	kvdb.KVPair
	// RawKey is the key if it is not UTF-8, because JSON strings are. Earlier releases
	// ignore it.
	RawKey []byte `json:",omitempty"`
}

// SerializeAll encodes pairs as a JSON array.
func (b *BaseKvdb) SerializeAll(pairs kvdb.KVPairs) ([]byte, error) {
	all := make([]*serializedPair, len(pairs))
	for i, pair := range pairs {
		if pair == nil {
			continue
		}
		all[i] = &serializedPair{KVPair: *pair}
		if !utf8.ValidString(pair.Key) {
			all[i].RawKey = []byte(pair.Key)
		}
	}
	return json.Marshal(all)
}

// DeserializeAll decodes the pairs that SerializeAll encoded.
func (b *BaseKvdb) DeserializeAll(encoded []byte) (kvdb.KVPairs, error) {
	var all []*serializedPair
	if err := json.Unmarshal(encoded, &all); err != nil {
		return nil, fmt.Errorf("%w: serialized pairs: %w", kvdb.ErrUnmarshal, err)
	}
	pairs := make(kvdb.KVPairs, len(all))
	for i, pair := range all {
		if pair == nil {
			return nil, fmt.Errorf("%w: serialized pairs: element %d is null", kvdb.ErrUnmarshal, i)
		}
		if pair.RawKey != nil {
			pair.Key = string(pair.RawKey)
		}
		pairs[i] = &pair.KVPair
	}
	return pairs, nil
}
