// Matrix writes the table of capabilities, made of the reports of the
// conformance suite, between the markers of a file.
//
//	go run ./internal/matrix reports-folder README.md
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/portworx/kvdb/test"
)

const (
	begin = "<!-- matrix:begin -->\n"
	end   = "<!-- matrix:end -->\n"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: matrix reports-folder file")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func run(reportsDir, file string) error {
	reports, err := test.ReadReports(reportsDir)
	if err != nil {
		return err
	}
	if len(reports) == 0 {
		return errors.New("no reports in " + reportsDir)
	}
	slices.SortFunc(reports, func(a, b *test.Report) int {
		return strings.Compare(strings.ToLower(a.Backend), strings.ToLower(b.Backend))
	})
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	replaced, err := replace(string(text), test.Matrix(reports...))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(replaced), 0o644)
}

// replace puts table between the markers of text.
func replace(text, table string) (string, error) {
	before, rest, opened := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		return "", fmt.Errorf("has no lines %q and %q", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + table + end + after, nil
}
