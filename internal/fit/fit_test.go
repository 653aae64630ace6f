package fit

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// A key below another one is found, also if keys sort between them.
func TestPath(t *testing.T) {
	for keys, want := range map[string]string{
		"a a-b a/b":   "a/b",
		"a ab abc b":  "",
		"a/b a/b/c/d": "a/b/c/d",
		"a a/b a/c":   "a/b a/c",
		"a b b/a":     "b/a",
		"a/b a/c a/d": "",
	} {
		above, found := Path{}, []string{}
		for _, key := range strings.Fields(keys) {
			if err := above.Enter(key); err != nil {
				require.ErrorIs(t, err, kvdb.ErrIllegal)
				found = append(found, key)
			}
		}
		require.Equal(t, strings.Fields(want), found, keys)
	}
}
