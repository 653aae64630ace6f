package driver

import (
	"bytes"
	"math"

	"github.com/portworx/kvdb"
)

// Cond is the condition of a write. It holds if each of its parts that is set holds; the
// zero value always holds. A store translates a Cond into its native guard. If the guard
// fails, the store reads the key and returns the error of Check or CheckMissing, so all
// stores return the same errors.
type Cond struct {
	// Absent requires that the key does not exist, else kvdb.ErrExist.
	Absent bool
	// Present requires that the key exists, else kvdb.ErrNotFound. The comparisons below
	// imply it.
	Present bool
	// Unborn requires that the key does not exist, else kvdb.ErrModified. It stands for the
	// flag KVModifiedIndex with ModifiedIndex 0.
	Unborn bool
	// Modified and Created, unless 0, must equal the key's indexes, else kvdb.ErrModified.
	// NoIndex equals no index.
	Modified, Created uint64
	// HasValue requires that the key's value equals Value, else kvdb.ErrValueMismatch.
	HasValue bool
	Value    []byte
}

// NoIndex is an index that no pair has. It fits a signed integer.
const NoIndex = math.MaxInt64

// NeedsKey reports whether the condition can only hold for a key that exists.
func (c Cond) NeedsKey() bool {
	return c.Present || c.Modified != 0 || c.Created != 0 || c.HasValue
}

// NeedsNoKey reports whether the condition can only hold for a key that does not
// exist.
func (c Cond) NeedsNoKey() bool { return c.Absent || c.Unborn }

// Check returns nil if the condition holds for a key that exists, with these indexes and
// this value, and otherwise the error of the part that fails.
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

// CheckMissing is like Check for a key that does not exist.
func (c Cond) CheckMissing() error {
	if c.NeedsKey() {
		return kvdb.ErrNotFound
	}
	return nil
}
