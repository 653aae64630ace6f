package transfer

import (
	"bytes"
	"context"
	"iter"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/digest"
	"github.com/portworx/kvdb/internal/merge"
	"github.com/portworx/kvdb/internal/reserved"
)

// ReservedPrefix begins the last component of the keys that [Copy] uses at the target.
// Keys like these are not copied, not compared, and not in a digest.
const ReservedPrefix = reserved.Transfer

// Sum describes pairs.
type Sum struct {
	// Digest is "sha256:" and, in hexadecimal, the SHA-256 over the pairs in the order of
	// their keys: for each the length of the key, the key, the length of the value, and the
	// value. A length has 8 bytes, the most significant first.
	Digest string `json:"digest"`
	// Pairs is the number of pairs, and Bytes the size of their keys and values.
	Pairs int   `json:"pairs"`
	Bytes int64 `json:"bytes"`
}

func sumOf(h *digest.Hash) Sum { return Sum{Digest: h.Sum(), Pairs: h.Pairs(), Bytes: h.Bytes()} }

// Digest returns the digest of the pairs whose keys begin with prefix, hidden keys included.
// Two stores with equal pairs have equal digests, whatever their indexes and TTLs are. While
// others write, the digest is one of no moment, unless the store reads all pages at one
// moment; see [kvdb.Pager].
func Digest(ctx context.Context, kv kvdb.Kvdb, prefix string) (Sum, error) {
	h := digest.New()
	for pair, err := range pairsOf(ctx, kv, prefix, kvdb.PageOptions{}) {
		if err != nil {
			return Sum{}, err
		}
		h.Add(pair.Key, pair.Value)
	}
	return sumOf(h), nil
}

// pairsOf iterates over the pairs of kv, hidden keys included.
func pairsOf(ctx context.Context, kv kvdb.Kvdb, prefix string, o kvdb.PageOptions) iter.Seq2[*kvdb.KVPair, error] {
	o.Hidden = true
	return func(yield func(*kvdb.KVPair, error) bool) {
		for pair, err := range kvdb.PairsWith(kvdb.WithContext(ctx, kv), prefix, o) {
			if err == nil && reserved.IsTransfer(pair.Key) {
				continue
			}
			if !yield(pair, err) {
				return
			}
		}
	}
}

// Difference is a key at which two stores differ.
type Difference struct {
	// Old and New are the pairs of the two stores. One is nil if that store does not have the
	// key.
	Old, New *kvdb.KVPair
}

// Key returns the key.
func (d Difference) Key() string { return merge.Sides(d).Key() }

// CompareOptions are the options of [Compare]. The zero value compares all keys and values.
type CompareOptions struct {
	// Prefix limits the comparison to the keys that begin with it.
	Prefix string
	// TTL makes two pairs different if only one of them expires. The times may differ.
	TTL bool
	// KeysOnly compares only which keys there are. The pairs have no values.
	KeysOnly bool
}

// Compare iterates over the keys, in order, at which old and new differ. Hidden keys are
// included. Indexes are not compared, because each store has its own. Both sides are read in
// pages, so memory does not depend on the number of pairs. An error ends the iteration.
//
// While others write, a difference may be gone when it is yielded, and a later one may be
// missed.
func Compare(ctx context.Context, old, new kvdb.Kvdb, o CompareOptions) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		pages := kvdb.PageOptions{TTL: o.TTL, KeysOnly: o.KeysOnly}
		for sides, err := range merge.Pairs(pairsOf(ctx, old, o.Prefix, pages), pairsOf(ctx, new, o.Prefix, pages)) {
			if err == nil && isSame(sides, o.TTL) {
				continue
			}
			if !yield(Difference(sides), err) {
				return
			}
		}
	}
}

// isSame reports whether both sides have the same value, and, if ttl is true, whether both or
// none of them expire.
func isSame(s merge.Sides, ttl bool) bool {
	return s.Old != nil && s.New != nil && bytes.Equal(s.Old.Value, s.New.Value) &&
		(!ttl || (s.Old.TTL > 0) == (s.New.TTL > 0))
}
