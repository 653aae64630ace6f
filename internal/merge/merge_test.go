package merge_test

import (
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/merge"
)

// keys returns pairs with one-letter keys, and then err unless it is nil.
func keys(letters string, err error) iter.Seq2[*kvdb.KVPair, error] {
	return func(yield func(*kvdb.KVPair, error) bool) {
		for _, letter := range letters {
			if !yield(&kvdb.KVPair{Key: string(letter)}, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// Each key comes once, in order, with the sides that have it.
func TestPairs(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""}, {"abc", "abc", "a=b=c="}, {"abc", "", "a-b-c-"}, {"", "abc", "a+b+c+"},
		{"acd", "bce", "a-b+c=d-e+"}, {"z", "ab", "a+b+z-"},
	} {
		got := ""
		for sides, err := range merge.Pairs(keys(c.old, nil), keys(c.new, nil)) {
			require.NoError(t, err)
			got += sides.Key()
			switch {
			case sides.Old == nil:
				got += "+"
			case sides.New == nil:
				got += "-"
			default:
				require.Equal(t, sides.Old.Key, sides.New.Key)
				got += "="
			}
		}
		require.Equal(t, c.want, got)
	}
}

// An error of a side comes last, before keys of which it is not known whether that side has
// them. A loop may end early.
func TestPairsEnds(t *testing.T) {
	failed := errors.New("failed")
	for _, sides := range [][2]iter.Seq2[*kvdb.KVPair, error]{
		{keys("ab", failed), keys("abcd", nil)}, {keys("abcd", nil), keys("ab", failed)},
	} {
		n := 0
		var last error
		for _, err := range merge.Pairs(sides[0], sides[1]) {
			require.NoError(t, last)
			last = err
			n++
		}
		require.Equal(t, failed, last)
		require.Equal(t, 3, n)
		for range merge.Pairs(sides[0], sides[1]) {
			break
		}
	}
}
