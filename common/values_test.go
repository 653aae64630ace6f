package common

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestToBytes(t *testing.T) {
	type object struct{ A int }
	type text string
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"bytes":        {[]byte("a\x00\xff"), "a\x00\xff"},
		"empty bytes":  {[]byte{}, ""},
		"string":       {`a "b"`, `a "b"`},
		"empty string": {"", ""},
		"object":       {object{1}, `{"A":1}`},
		"pointer":      {&object{1}, `{"A":1}`},
		"number":       {7, "7"},
		"nil":          {nil, "null"},
		"named string": {text("a"), `"a"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ToBytes(c.value)
			require.NoError(t, err)
			require.Equal(t, c.want, string(got))
		})
	}
}

func TestToBytesKeepsNilBytes(t *testing.T) {
	got, err := ToBytes([]byte(nil))
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestToBytesWithoutEncoding(t *testing.T) {
	for _, value := range []any{func() {}, make(chan int), math.NaN()} {
		_, err := ToBytes(value)
		require.Error(t, err)
	}
}

func TestPrunePrefixes(t *testing.T) {
	for name, c := range map[string]struct{ prefixes, want []string }{
		"none":              {nil, nil},
		"one":               {[]string{"a"}, []string{"a"}},
		"repeated":          {[]string{"a", "a"}, []string{"a"}},
		"covered":           {[]string{"a/b", "a", "a/b/c"}, []string{"a"}},
		"string prefix":     {[]string{"ab", "a"}, []string{"a"}},
		"apart":             {[]string{"b", "a", "c"}, []string{"a", "b", "c"}},
		"not the first":     {[]string{"b/c", "a", "b"}, []string{"a", "b"}},
		"all":               {[]string{"b", "", "a"}, []string{""}},
		"not next to it":    {[]string{"a/c", "a/b", "a/", "b"}, []string{"a/", "b"}},
		"longer than other": {[]string{"a/b", "a-"}, []string{"a-", "a/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			given := append([]string(nil), c.prefixes...)
			require.Equal(t, c.want, PrunePrefixes(c.prefixes))
			require.Equal(t, given, c.prefixes, "the argument is unchanged")
		})
	}
}
