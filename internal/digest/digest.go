// Package digest computes the digest of an ordered sequence of pairs, by which two stores, or
// a store and a backup, can be compared.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
)

// Hash is the digest of the pairs that were added to it: SHA-256 over, for each pair in the
// order of the keys, the length of the key, the key, the length of the value, and the value.
// A length has 8 bytes, the most significant first. It is not for concurrent use.
type Hash struct {
	hash  hash.Hash
	pairs int
	bytes int64
}

// New returns the digest of no pairs.
func New() *Hash { return &Hash{hash: sha256.New()} }

// Add adds a pair. The key must be larger than those that were added before.
func (h *Hash) Add(key string, value []byte) {
	var length [8]byte
	// Writes to a hash do not fail.
	binary.BigEndian.PutUint64(length[:], uint64(len(key)))
	_, _ = h.hash.Write(length[:])
	_, _ = io.WriteString(h.hash, key)
	binary.BigEndian.PutUint64(length[:], uint64(len(value)))
	_, _ = h.hash.Write(length[:])
	_, _ = h.hash.Write(value)
	h.pairs++
	h.bytes += int64(len(key) + len(value))
}

// Sum returns "sha256:" and the digest in hexadecimal. More pairs may be added afterwards.
func (h *Hash) Sum() string { return "sha256:" + hex.EncodeToString(h.hash.Sum(nil)) }

// Pairs returns the number of pairs.
func (h *Hash) Pairs() int { return h.pairs }

// Bytes returns the size of all keys and values.
func (h *Hash) Bytes() int64 { return h.bytes }
