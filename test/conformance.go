package test

import (
	"flag"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"

	_ "github.com/portworx/kvdb/wrappers" // the log wrapper
)

// testCase is a rule, or a few that belong together.
type testCase struct {
	name string
	run  func(e *env)
	// alone keeps other cases from running at the same time.
	alone bool
	// needs are the parts that the case is about. If the store lacks some of them, the
	// case asserts only that these are refused.
	needs []*part
}

// group is a group of cases, which is one row of the matrix.
type group struct {
	name  string
	calls string // the operations that the group is about, "" for none
	cases []testCase
	needs []*part // of every case
	// server means that the cases need Harness.Server. Because they take long, they do not
	// run behind the log wrapper.
	server bool
}

var outages = flag.Bool("kvdb.outages", false,
	"with a Harness.Server, also run the cases about outages, which take minutes")

var groups = []group{
	traitGroup, // first, because it says what to declare when other cases fail
	keyGroup, valueGroup, ownershipGroup, writeGroup, conditionGroup, ttlGroup, readGroup, selectGroup,
	watchGroup, resumeGroup, cacheGroup, compactGroup, snapshotGroup, serializeGroup,
	lockGroup, txGroup, txDeleteGroup, guardGroup, manyGroup, electionGroup, contextGroup, helperGroup, hookGroup, closeGroup,
	userGroup, memberGroup, endpointGroup, defragmentGroup, durableGroup, outageGroup, historyGroup,
}

// Conformance runs all cases on the backend, as subtests of t. It runs them once more
// behind the log wrapper, unless -short or h.Bare is set. It returns when they are over.
func Conformance(t *testing.T, h Harness) *Report {
	t.Helper()
	h.check(t)
	report := newReport(h.Name, groups)
	t.Run("bare", func(t *testing.T) { (&suite{h, report, nil}).run(t, groups) })
	if !testing.Short() && !h.Bare {
		t.Run("log", func(t *testing.T) {
			(&suite{h, report, []kvdb.WrapperName{kvdb.Wrapper_Log}}).run(t, groups)
		})
	}
	report.save(t)
	if !t.Failed() {
		h.note(t)
	}
	return report
}

// check fails t if the harness is not valid.
func (h Harness) check(t *testing.T) {
	t.Helper()
	require.True(t, h.Init != nil, "Harness.Init is nil; it must be the New function of the backend")
	for _, name := range h.Groups {
		known := slices.ContainsFunc(groups, func(g group) bool { return g.name == name })
		require.True(t, known, "Harness.Groups has %q, which is not the name of a group", name)
	}
}

// note logs which cases did not run.
func (h Harness) note(t *testing.T) {
	t.Helper()
	switch {
	case h.Server == nil:
		t.Log("note: the cases about outages did not run, because Harness.Server is nil. Only a store in this process may leave it nil")
	case !*outages:
		t.Log("note: the cases about outages did not run; -args -kvdb.outages runs them")
	}
	if h.Server != nil && h.History == nil {
		t.Log("note: the cases about a store that is restored to an earlier state did not run, because Harness.History is nil")
	}
	if h.Groups != nil {
		t.Logf("note: only the groups of cases in Harness.Groups ran: %q", h.Groups)
	}
}

// suite runs cases on one backend.
type suite struct {
	Harness
	report   *Report
	wrappers []kvdb.WrapperName // around each instance, innermost first
}

// run runs the cases that must be alone, then the others.
func (s *suite) run(t *testing.T, groups []group) {
	for _, alone := range []bool{true, false} {
		for _, g := range groups {
			if s.Groups != nil && !slices.Contains(s.Groups, g.name) {
				continue
			}
			if g.server && (s.Server == nil || !*outages || len(s.wrappers) > 0) {
				continue
			}
			for _, c := range g.cases {
				if c.alone != alone {
					continue
				}
				t.Run(g.name+"/"+c.name, func(t *testing.T) {
					if !alone {
						t.Parallel()
					}
					s.runCase(t, g, c)
				})
			}
		}
	}
}

func (s *suite) runCase(t *testing.T, g group, c testCase) {
	e := newEnv(t, s)
	t.Cleanup(func() { s.report.add(g.name, c.name, e) })
	t.Cleanup(e.finish)
	if !e.unsupportedParts(slices.Concat(g.needs, c.needs)) {
		c.run(e)
	}
}
