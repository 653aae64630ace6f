// Matrix writes the table of capabilities, from the reports of the conformance suite,
// between the markers of a file. Exceptions are numbered notes below the table.
//
//	go run ./internal/testing/matrix reports-folder docs/capabilities.md
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/portworx/kvdb/internal/testing/pages"
	"github.com/portworx/kvdb/test"
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
	return pages.Write(file, "matrix", annotate(test.Matrix(reports...)))
}

// separator separates the exceptions in a cell of test.Matrix.
const separator = "; "

// annotate replaces the exceptions in the cells of table by numbers, and appends the list of
// the exceptions. Equal exceptions have one number.
func annotate(table string) string {
	var short strings.Builder
	var notes []string
	for i, line := range strings.Split(strings.TrimSuffix(table, "\n"), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if i < 2 { // the head
			short.WriteString(line + "\n")
			continue
		}
		short.WriteString("| " + cells[0] + " |")
		for _, cell := range cells[1:] {
			switch cell {
			case "full", "not run", "—":
			case "`ErrNotSupported`":
				cell = "no"
			default:
				var numbers []string
				for exception := range strings.SplitSeq(cell, separator) {
					n := slices.Index(notes, exception)
					if n < 0 {
						n = len(notes)
						notes = append(notes, exception)
					}
					numbers = append(numbers, strconv.Itoa(n+1))
				}
				cell = strings.Join(numbers, ", ")
			}
			short.WriteString(" " + cell + " |")
		}
		short.WriteString("\n")
	}
	if len(notes) > 0 {
		short.WriteString("\n")
	}
	for i, note := range notes {
		fmt.Fprintf(&short, "%d. %s\n", i+1, note)
	}
	return short.String()
}
