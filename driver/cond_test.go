package driver

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// Each condition is checked for a key with created index 3, modified index 7 and the value
// "value", and for a key that does not exist.
func TestCond(t *testing.T) {
	for name, c := range map[string]struct {
		cond             Cond
		present, missing error
	}{
		"none":           {Cond{}, nil, nil},
		"absent":         {Cond{Absent: true}, kvdb.ErrExist, nil},
		"unborn":         {Cond{Unborn: true}, kvdb.ErrModified, nil},
		"present":        {Cond{Present: true}, nil, kvdb.ErrNotFound},
		"modified":       {Cond{Modified: 7}, nil, kvdb.ErrNotFound},
		"other modified": {Cond{Modified: 3}, kvdb.ErrModified, kvdb.ErrNotFound},
		"no modified":    {Cond{Modified: NoIndex}, kvdb.ErrModified, kvdb.ErrNotFound},
		"created":        {Cond{Created: 3}, nil, kvdb.ErrNotFound},
		"other created":  {Cond{Created: 7}, kvdb.ErrModified, kvdb.ErrNotFound},
		"value":          {Cond{HasValue: true, Value: []byte("value")}, nil, kvdb.ErrNotFound},
		"other value":    {Cond{HasValue: true, Value: []byte("VALUE")}, kvdb.ErrValueMismatch, kvdb.ErrNotFound},
		"empty value":    {Cond{HasValue: true}, kvdb.ErrValueMismatch, kvdb.ErrNotFound},
		"ignored value":  {Cond{Value: []byte("VALUE")}, nil, nil},
		"all":            {Cond{Present: true, Modified: 7, Created: 3, HasValue: true, Value: []byte("value")}, nil, kvdb.ErrNotFound},
		"all but one":    {Cond{Modified: 7, Created: 4, HasValue: true, Value: []byte("value")}, kvdb.ErrModified, kvdb.ErrNotFound},
		"unborn value":   {Cond{Unborn: true, HasValue: true, Value: []byte("value")}, kvdb.ErrModified, kvdb.ErrNotFound},
	} {
		require.True(t, c.cond.Check(3, 7, []byte("value")) == c.present, name)
		require.True(t, c.cond.CheckMissing() == c.missing, name)
		require.Equal(t, c.missing != nil, c.cond.NeedsKey(), name)
		require.Equal(t, c.cond.Absent || c.cond.Unborn, c.cond.NeedsNoKey(), name)
	}
	require.NoError(t, Cond{HasValue: true}.Check(3, 7, nil), "an empty value")
}

func TestChildName(t *testing.T) {
	for _, c := range []struct{ rest, sep, want string }{
		{"", "/", ""},
		{"a", "/", "a"},
		{"a/b/c", "/", "a"},
		{"a/", "/", "a"},
		{"/a/b", "/", "/a"},
		{"/", "/", "/"},
		{"//", "/", "/"},
		{"a::b", "::", "a"},
		{"a:b", "::", "a:b"},
		{":::b", "::", ":"},
	} {
		require.Equal(t, c.want, ChildName(c.rest, c.sep), "%q by %q", c.rest, c.sep)
	}
}

// The value is a copy, whatever its size, and appending to it changes nothing else.
func TestNewPair(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 33, 64, 65, 128, 129, 1000} {
		value := make([]byte, n)
		for i := range value {
			value[i] = byte(i)
		}
		pair := NewPair(value)
		require.Len(t, pair.Value, n)
		require.Equal(t, append([]byte{}, value...), append([]byte{}, pair.Value...))
		if n > 0 {
			value[0]++
			require.NotEqual(t, value[0], pair.Value[0])
		}
		require.Equal(t, kvdb.KVPair{Value: pair.Value}, *pair)
		pair.Value = append(pair.Value, 'x')
		require.Empty(t, pair.Key)
	}
}
