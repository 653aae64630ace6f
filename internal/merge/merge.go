// Package merge compares two ordered sequences of pairs.
package merge

import (
	"iter"

	"github.com/portworx/kvdb"
)

// Sides are the pairs that two sequences have at one key. One of them may be nil.
type Sides struct {
	Old, New *kvdb.KVPair
}

// Key returns the key.
func (s Sides) Key() string {
	if s.Old != nil {
		return s.Old.Key
	}
	return s.New.Key
}

// Pairs iterates over the keys of two sequences, each of which has its keys in increasing
// order. An error of one of them ends the iteration.
func Pairs(old, new iter.Seq2[*kvdb.KVPair, error]) iter.Seq2[Sides, error] {
	return func(yield func(Sides, error) bool) {
		a, b := pull(old), pull(new)
		defer a.stop()
		defer b.stop()
		a.advance()
		b.advance()
		for a.err == nil && b.err == nil && (a.pair != nil || b.pair != nil) {
			var s Sides
			takeOld := b.pair == nil || a.pair != nil && a.pair.Key <= b.pair.Key
			takeNew := a.pair == nil || b.pair != nil && b.pair.Key <= a.pair.Key
			if takeOld {
				s.Old = a.pair
			}
			if takeNew {
				s.New = b.pair
			}
			if !yield(s, nil) {
				return
			}
			if takeOld {
				a.advance()
			}
			if takeNew {
				b.advance()
			}
		}
		if a.err != nil {
			yield(Sides{}, a.err)
		} else if b.err != nil {
			yield(Sides{}, b.err)
		}
	}
}

// cursor is a position in a sequence.
type cursor struct {
	next func() (*kvdb.KVPair, error, bool)
	stop func()
	pair *kvdb.KVPair // nil at the end
	err  error
}

func pull(pairs iter.Seq2[*kvdb.KVPair, error]) *cursor {
	next, stop := iter.Pull2(pairs)
	return &cursor{next: next, stop: stop}
}

func (c *cursor) advance() { c.pair, c.err, _ = c.next() }
