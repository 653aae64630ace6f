package driver

import (
	"bytes"
	"math"

	"github.com/portworx/kvdb"
)

// Cond is what must hold for a write. All conditions given must; the zero value
// always does. It is the one place that decides which error a failed condition
// is, so that no two stores can disagree: a store turns a Cond into its native
// guard, and a guard that failed into Check of what is there.
type Cond struct {
	// Absent: the key must not exist, else kvdb.ErrExist.
	Absent bool
	// Present: the key must exist, else kvdb.ErrNotFound. Implied by the
	// comparisons below.
	Present bool
	// Unborn: the key must not exist, else kvdb.ErrModified (the idiom
	// KVModifiedIndex with ModifiedIndex 0).
	Unborn bool
	// Modified and Created compare the key's indexes unless 0: kvdb.ErrModified.
	// NoIndex is one that no key has.
	Modified, Created uint64
	// HasValue compares the key's value with Value: kvdb.ErrValueMismatch.
	HasValue bool
	Value    []byte
}

// NoIndex is an index that no pair ever has, and that fits a signed integer.
const NoIndex = math.MaxInt64

// NeedsKey reports whether the condition can only hold for a key that exists.
func (c Cond) NeedsKey() bool {
	return c.Present || c.Modified != 0 || c.Created != 0 || c.HasValue
}

// NeedsNoKey reports whether the condition can only hold for a key that does not
// exist.
func (c Cond) NeedsNoKey() bool { return c.Absent || c.Unborn }

// Check tells what is wrong with writing over a pair with these indexes and
// value, for a key that exists; see CheckMissing for one that does not.
func (c Cond) Check(created, modified uint64, value []byte) error {
	switch {
	case c.Absent:
		return kvdb.ErrExist
	case c.Unborn,
		c.Modified != 0 && c.Modified != modified,
		c.Created != 0 && c.Created != created:
		return kvdb.ErrModified
	case c.HasValue && !bytes.Equal(c.Value, value):
		return kvdb.ErrValueMismatch
	}
	return nil
}

// CheckMissing is Check for a key that does not exist.
func (c Cond) CheckMissing() error {
	if c.NeedsKey() {
		return kvdb.ErrNotFound
	}
	return nil
}
