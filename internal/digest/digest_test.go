package digest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/internal/digest"
)

// The digest is that of the layout that the comment describes, so that other programs can
// compute it.
func TestLayout(t *testing.T) {
	h := digest.New()
	empty := sha256.Sum256(nil)
	require.Equal(t, "sha256:"+hex.EncodeToString(empty[:]), h.Sum())
	h.Add("a", []byte("value"))
	h.Add("b/c", nil)
	want := sha256.Sum256([]byte("\x00\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x05value" +
		"\x00\x00\x00\x00\x00\x00\x00\x03b/c\x00\x00\x00\x00\x00\x00\x00\x00"))
	require.Equal(t, "sha256:"+hex.EncodeToString(want[:]), h.Sum())
	require.Equal(t, 2, h.Pairs())
	require.EqualValues(t, 9, h.Bytes())
}

// Bytes that move from a key to its value, or from one pair to the next, change the digest.
func TestBoundaries(t *testing.T) {
	sums := map[string]bool{}
	for _, pairs := range [][]string{{"a", "bc"}, {"ab", "c"}, {"a", "b", "c", ""}, {"a", "", "b", "c"}} {
		h := digest.New()
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], []byte(pairs[i+1]))
		}
		sums[h.Sum()] = true
	}
	require.Len(t, sums, 4)
}
