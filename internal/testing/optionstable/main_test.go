package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb/internal/option"
	"github.com/portworx/kvdb/internal/testing/pages"
)

func TestTable(t *testing.T) {
	shared := option.Option{Name: "b", Values: "v", Default: "d", Meaning: "m"}
	other := shared
	other.Default = "e"
	require.Equal(t, `| option | of | values | default | meaning |
|---|---|---|---|---|
| `+"`a`"+` | y |  |  |  |
| `+"`b`"+` | x, y | v | d | m |
| `+"`b`"+` | z | v | e | m |
`, table([]option.Options{
		{Owner: "y", List: []option.Option{shared, {Name: "a"}}},
		{Owner: "x", List: []option.Option{shared}},
		{Owner: "z", List: []option.Option{other}},
	}))
}

// `make generate` writes the page.
func TestPageIsCurrent(t *testing.T) {
	page, err := os.ReadFile("../../../docs/options.md")
	require.NoError(t, err)
	current, err := pages.Replace(string(page), "options", table(option.Declared()))
	require.NoError(t, err)
	require.Equal(t, current, string(page))
}

// Each option whose name the root package exports is declared by a backend or a wrapper.
func TestExportedOptionsAreDeclared(t *testing.T) {
	source, err := os.ReadFile("../../../options.go")
	require.NoError(t, err)
	names, _, _ := strings.Cut(string(source), "// Values of the option")
	exported := regexp.MustCompile(`(?m)^\t\w+ += "(\w+)"$`).FindAllStringSubmatch(names, -1)
	require.NotEmpty(t, exported)
	page := table(option.Declared())
	for _, name := range exported {
		require.Contains(t, page, "| `"+name[1]+"` |")
	}
}
