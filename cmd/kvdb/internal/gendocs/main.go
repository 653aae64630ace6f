// Gendocs writes a page and a manual page for each command of kvdb.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra/doc"

	"github.com/portworx/kvdb/cmd/kvdb/internal/command"
)

//go:generate go run . ../../../../docs/command ../../man

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: gendocs pages manuals")
		os.Exit(2)
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// generate replaces what is in the folders pages and manuals.
func generate(pages, manuals string) error {
	for _, pattern := range []string{filepath.Join(pages, "*.md"), filepath.Join(manuals, "*.1")} {
		old, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, name := range old {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	root := command.Root()
	root.DisableAutoGenTag = true
	if err := doc.GenMarkdownTree(root, pages); err != nil {
		return err
	}
	unchanging := time.Unix(0, 0)
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "kvdb", Manual: "kvdb", Date: &unchanging}, manuals)
}
