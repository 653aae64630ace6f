// Optionstable writes the table of options into docs/options.md, from the declarations of
// the backends and wrappers.
package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/portworx/kvdb/internal/option"
	"github.com/portworx/kvdb/internal/testing/pages"

	// Their options are in the table.
	_ "github.com/portworx/kvdb/bolt"
	_ "github.com/portworx/kvdb/consul"
	_ "github.com/portworx/kvdb/etcd/v2"
	_ "github.com/portworx/kvdb/etcd/v3"
	_ "github.com/portworx/kvdb/mem"
	_ "github.com/portworx/kvdb/wrappers"
	_ "github.com/portworx/kvdb/zookeeper"
)

//go:generate go run . ../../../docs/options.md

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: optionstable file")
		os.Exit(2)
	}
	if err := pages.Write(os.Args[1], "options", table(option.Declared())); err != nil {
		fmt.Fprintln(os.Stderr, "optionstable:", err)
		os.Exit(1)
	}
}

// table returns a row for each option, sorted by name. Owners with the same description
// share a row.
func table(declared []option.Options) string {
	owners := map[option.Option][]string{}
	for _, o := range declared {
		for _, option := range o.List {
			owners[option] = append(owners[option], o.Owner)
		}
	}
	var rows []string
	for option, names := range owners {
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) })
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n",
			option.Name, strings.Join(names, ", "), option.Values, option.Default, option.Meaning))
	}
	slices.Sort(rows)
	return "| option | of | values | default | meaning |\n|---|---|---|---|---|\n" + strings.Join(rows, "")
}
