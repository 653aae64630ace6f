package etcdv2

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Text is kept as it is, for other programs; whatever is written is read.
func TestValues(t *testing.T) {
	for _, text := range []string{"", "text", "ä\x00\n<>&\u2028", "\uFFFD"} {
		require.Equal(t, text, encode([]byte(text)))
		require.Equal(t, text, string(decode(text)))
	}
	for _, binary := range []string{"\xff", "a\x80b", encodedMark, encodedMark + "AA", encode([]byte("\xff"))} {
		require.NotEqual(t, binary, encode([]byte(binary)))
		require.Equal(t, binary, string(decode(encode([]byte(binary)))))
	}
	require.Equal(t, encodedMark+"?", string(decode(encodedMark+"?")), "written by somebody else")
}

func TestKeys(t *testing.T) {
	for key, want := range map[string]string{
		"a": "a", "/a//b/": "a/b", "a/_b": "a/_b", "x/" + locksDir: "x/" + locksDir, ".a/..b": ".a/..b",
	} {
		got, err := checkKey(key)
		require.NoError(t, err, key)
		require.Equal(t, want, got)
	}
	for _, key := range []string{"", "/", "//", ".", "a/..", "../a", "a/./b", locksDir, locksDir + "/a"} {
		_, err := checkKey(key)
		require.Error(t, err, key)
	}
	for prefix, want := range map[string]string{"": "", "/": "", "a/": "a/", "/a//b": "a/b", "a//": "a/", "a/.": "a/."} {
		got, err := checkPrefix(prefix)
		require.NoError(t, err, prefix)
		require.Equal(t, want, got)
	}
	require.NotEqual(t, lockPath("a/b"), lockPath("a%2Fb"))
}
