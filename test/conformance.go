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
	// needs are what the case is about. Where the store lacks some of it the case
	// asserts that it is refused, and nothing else.
	needs []*part
}

// group is what makes one row of the matrix.
type group struct {
	name  string
	calls string // that it is about
	cases []testCase
	needs []*part // of every case
	// server: the cases need Harness.Server. As they take long they run on the
	// bare instance only.
	server bool
}

var outages = flag.Bool("kvdb.outages", false,
	"with a Harness.Server, also run the cases about outages, which take minutes")

var groups = []group{
	traitGroup, // first, for it says what to declare when the others fail
	keyGroup, valueGroup, ownershipGroup, writeGroup, conditionGroup, ttlGroup, readGroup, selectGroup,
	watchGroup, resumeGroup, compactGroup, snapshotGroup, serializeGroup,
	lockGroup, txGroup, guardGroup, contextGroup, helperGroup, closeGroup,
	userGroup, memberGroup, endpointGroup, defragmentGroup, durableGroup, outageGroup, historyGroup,
}

// Conformance runs all cases on the backend, as subtests of t, bare and (but
// for -short and h.Bare) behind the log wrapper, and returns when they are over.
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
	return report
}

// check says what is wrong with the harness, and which cases it leaves out.
func (h Harness) check(t *testing.T) {
	t.Helper()
	require.True(t, h.Init != nil, "Harness.Init is nil: it must be the New of the backend")
	for _, name := range h.Groups {
		known := slices.ContainsFunc(groups, func(g group) bool { return g.name == name })
		require.True(t, known, "Harness.Groups: there is no group %q", name)
	}
	switch {
	case h.Server == nil:
		t.Log("no outages: Harness.Server is nil, which is right for a store in this process and for no other")
	case !*outages:
		t.Log("no outages: they are run with -args -kvdb.outages")
	}
	if h.Server != nil && h.History == nil {
		t.Log("no cases about a store that is taken back to an earlier state: Harness.History is nil")
	}
	if h.Groups != nil {
		t.Logf("no other groups of cases than Harness.Groups: %q", h.Groups)
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
