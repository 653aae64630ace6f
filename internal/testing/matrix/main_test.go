package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/test"
)

func TestAnnotate(t *testing.T) {
	table := test.Matrix(
		&test.Report{Backend: "one", Groups: []*test.GroupReport{
			{Name: "A", Calls: "Get, Put", Passed: []string{"X"}},
			{Name: "B", Calls: "TTL", Passed: []string{"X"}, Exceptions: []string{"from 5 s", "to 1 h"}},
			{Name: "C", Calls: "Users", Unsupported: []string{"X"}},
		}},
		&test.Report{Backend: "two", Groups: []*test.GroupReport{
			{Name: "A", Calls: "Get, Put", Failed: []string{"X", "Y"}},
			{Name: "B", Calls: "TTL", Passed: []string{"X"}, Exceptions: []string{"to 1 h"}, Unsupported: []string{"Z"}},
			{Name: "C", Calls: "Users", Passed: []string{"X"}},
		}},
	)
	require.Equal(t, `| operations | one | two |
|---|---|---|
| Get, Put | full | 1 |
| TTL | 2, 3 | 3, 4 |
| Users | no | full |

1. **fails**: X, Y
2. from 5 s
3. to 1 h
4. `+"`ErrNotSupported`: Z\n", annotate(table))
	require.Equal(t, "| operations |\n|---|\n", annotate(test.Matrix()))
}
