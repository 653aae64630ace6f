package tree

import (
	"bytes"
	"time"
)

// Record is the data at a key. A Record in a tree is immutable, so readers may use it after
// they have unlocked the tree.
type Record struct {
	Value             []byte
	Object            any // the caller's object, if the store keeps objects
	Created, Modified uint64
	Expires           int64 // in ns, on the store's clock; 0 means never
}

// TTL returns the remaining seconds of the record's TTL, rounded up, at the time now on the
// store's clock. It returns at least 1, because the record exists, and 0 without a TTL.
func (r *Record) TTL(now int64) int64 {
	if r.Expires == 0 {
		return 0
	}
	return max(1, (r.Expires-now-1)/int64(time.Second)+1)
}

// Remaining returns the remaining time of the record's TTL at the time now on the store's
// clock, at least 1 ns, because the record exists. has is false without a TTL.
func (r *Record) Remaining(now int64) (remaining time.Duration, has bool) {
	if r.Expires == 0 {
		return 0, false
	}
	return time.Duration(max(1, r.Expires-now)), true
}

// NewRecord returns a record with a copy of value. A small value is in the same allocation
// as the record, so that a read needs one access to memory instead of two. The sizes fill
// Go's size classes.
func NewRecord(value []byte) *Record {
	n := len(value)
	switch {
	case n <= 32:
		r := new(struct {
			Record
			room [32]byte
		})
		r.Value = r.room[:n:n]
		copy(r.Value, value)
		return &r.Record
	case n <= 64:
		r := new(struct {
			Record
			room [64]byte
		})
		r.Value = r.room[:n:n]
		copy(r.Value, value)
		return &r.Record
	case n <= 128:
		r := new(struct {
			Record
			room [128]byte
		})
		r.Value = r.room[:n:n]
		copy(r.Value, value)
		return &r.Record
	}
	return &Record{Value: bytes.Clone(value)}
}
