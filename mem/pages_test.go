package mem_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// All pages of an enumeration show the state at the first page.
func TestPagesShowOneState(t *testing.T) {
	for name, options := range modes {
		t.Run(name, func(t *testing.T) {
			kv := open(t, options)
			for i := range 10 {
				put(t, kv, fmt.Sprintf("dir/%d", i), "old")
			}
			put(t, kv, "elsewhere", "old")
			keys := []string{}
			var index uint64
			for pair, err := range kv.(kvdb.Pager).EnumeratePages("dir/", 3) {
				require.NoError(t, err)
				if len(keys) == 0 {
					index = pair.KVDBIndex
					require.NoError(t, kv.DeleteTree("dir"))
					put(t, kv, "dir/5", "new")
					put(t, kv, "dir/55", "new")
				}
				require.Equal(t, "old", string(pair.Value))
				require.Equal(t, index, pair.KVDBIndex)
				keys = append(keys, pair.Key)
			}
			require.Equal(t, strings.Fields("dir/0 dir/1 dir/2 dir/3 dir/4 dir/5 dir/6 dir/7 dir/8 dir/9"), keys)

			pairs, err := kv.Enumerate("dir/")
			require.NoError(t, err)
			require.Len(t, pairs, 2, "the store has the writes made meanwhile")
		})
	}
}
