package test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var reportDir = flag.String("kvdb.report", "",
	"folder to which each run of the kvdb conformance suite writes its report")

// Report is the result of a run of the suite on a backend.
type Report struct {
	Backend string         // its name in the harness
	Groups  []*GroupReport // in the order in which they ran

	mu sync.Mutex // protects the groups' content during the run
}

// GroupReport is about one group of operations.
type GroupReport struct {
	// Name of the group, and the calls that it is about, "" for none.
	Name, Calls string
	// Passed, Failed and NotRun are the names of cases. The same case may be in
	// several, when it ran several times.
	Passed, Failed, NotRun []string
	// Unsupported are the cases whose calls all returned kvdb.ErrNotSupported.
	Unsupported []string
	// Exceptions are the exceptions to the rule that cases asserted.
	Exceptions []string
}

func newReport(backend string, groups []group) *Report {
	r := &Report{Backend: backend}
	for _, g := range groups {
		r.Groups = append(r.Groups, &GroupReport{Name: g.name, Calls: g.calls})
	}
	return r
}

// add records a case that is over.
func (r *Report) add(group, name string, e *env) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.Groups, func(g *GroupReport) bool { return g.Name == group })
	g := r.Groups[i]
	switch {
	case e.t.Failed():
		insert(&g.Failed, name)
	case e.t.Skipped():
		insert(&g.NotRun, name)
	case e.unsupported:
		insert(&g.Unsupported, name)
	default:
		insert(&g.Passed, name)
	}
	for _, exception := range e.exceptions {
		insert(&g.Exceptions, exception)
	}
}

// insert adds s to a sorted list, once.
func insert(list *[]string, s string) {
	if i, known := slices.BinarySearch(*list, s); !known {
		*list = slices.Insert(*list, i, s)
	}
}

// save writes the report to the folder of the flag, if there is one.
func (r *Report) save(t *testing.T) {
	if *reportDir == "" {
		return
	}
	encoded, err := json.MarshalIndent(r, "", "  ")
	require.NoError(t, err)
	file := strings.ReplaceAll(r.Backend, "/", "_") + ".json"
	require.NoError(t, os.WriteFile(filepath.Join(*reportDir, file), encoded, 0o644))
}

// ReadReports reads the reports that -kvdb.report wrote to dir, sorted by
// backend.
func ReadReports(dir string) ([]*Report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	reports := make([]*Report, len(files))
	for i, file := range files {
		encoded, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		reports[i] = new(Report)
		if err := json.Unmarshal(encoded, reports[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	slices.SortFunc(reports, func(a, b *Report) int { return strings.Compare(a.Backend, b.Backend) })
	return reports, nil
}

// Matrix returns the table of capabilities in Markdown. It has a row for each group of
// operations of which a case ran, and a column for each report.
func Matrix(reports ...*Report) string {
	var table strings.Builder
	table.WriteString("| operations |")
	for _, r := range reports {
		fmt.Fprintf(&table, " %s |", r.Backend)
	}
	table.WriteString("\n|---|" + strings.Repeat("---|", len(reports)) + "\n")
	if len(reports) == 0 {
		return table.String()
	}
	for i, g := range reports[0].Groups {
		if g.Calls == "" || !slices.ContainsFunc(reports, func(r *Report) bool { return r.ran(g.Name) }) {
			continue // about the suite itself, or nothing of it ran
		}
		fmt.Fprintf(&table, "| %s |", g.Calls)
		for _, r := range reports {
			cell := "not run"
			if i < len(r.Groups) && r.Groups[i].Name == g.Name {
				cell = r.Groups[i].cell()
			}
			fmt.Fprintf(&table, " %s |", cell)
		}
		table.WriteString("\n")
	}
	return table.String()
}

// ran reports whether a case of a group ran to its end.
func (r *Report) ran(group string) bool {
	return slices.ContainsFunc(r.Groups, func(g *GroupReport) bool {
		return g.Name == group && len(g.Passed)+len(g.Failed)+len(g.Unsupported) > 0
	})
}

func (g *GroupReport) cell() string {
	switch {
	case len(g.Failed) > 0:
		return "**fails**: " + strings.Join(g.Failed, ", ")
	case len(g.Passed) == 0 && len(g.Unsupported) > 0:
		return "`ErrNotSupported`"
	case len(g.Passed) == 0:
		return "—"
	}
	notes := slices.Clone(g.Exceptions)
	if len(g.Unsupported) > 0 {
		notes = append(notes, "`ErrNotSupported`: "+strings.Join(g.Unsupported, ", "))
	}
	if len(notes) == 0 {
		return "full"
	}
	return strings.Join(notes, "; ")
}
