package tree

import (
	"bytes"
	"time"
)

// Record is what is stored at a key. A Record is immutable once it is in a
// tree: readers may use it after they gave up the tree's lock.
type Record struct {
	Value             []byte
	Object            any // the caller's, if objects are kept
	Created, Modified uint64
	Expires           int64 // in ns, on the store's clock; 0: never
}

// TTL returns the seconds, rounded up, that are left of the record's TTL at the
// time now on the store's clock: at least 1, for a record that is there has not
// expired, and 0 without a TTL.
func (r *Record) TTL(now int64) int64 {
	if r.Expires == 0 {
		return 0
	}
	return max(1, (r.Expires-now-1)/int64(time.Second)+1)
}

// NewRecord returns a record with a copy of value. A small value lies behind
// the record in one allocation, which saves a read of it a second wait for
// memory. The sizes fill Go's size classes.
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
