package driver

import (
	"bytes"

	"github.com/portworx/kvdb"
)

// NewPair returns a pair with a copy of value. A small value is in the same allocation as
// its pair. The sizes fill Go's size classes.
func NewPair(value []byte) *kvdb.KVPair {
	n := len(value)
	switch {
	case n <= 32:
		p := new(struct {
			kvdb.KVPair
			room [32]byte
		})
		p.Value = p.room[:n:n]
		copy(p.Value, value)
		return &p.KVPair
	case n <= 64:
		p := new(struct {
			kvdb.KVPair
			room [64]byte
		})
		p.Value = p.room[:n:n]
		copy(p.Value, value)
		return &p.KVPair
	case n <= 128:
		p := new(struct {
			kvdb.KVPair
			room [128]byte
		})
		p.Value = p.room[:n:n]
		copy(p.Value, value)
		return &p.KVPair
	}
	return &kvdb.KVPair{Value: bytes.Clone(value)}
}
