package test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// StartKvdb starts the server of a store, with removeData on an empty folder,
// and returns when it serves requests.
type StartKvdb func(removeData bool) error

// StopKvdb stops the server.
type StopKvdb func() error

// Run runs all cases on the store that kvdbInit opens when it gets no endpoints
// and no options: a program that needs some passes a function that adds them.
// Server is started before and stopped after, and in between for the cases
// about outages. Without functions there are no such cases.
//
// Run finds out by trying where the store differs from the rules. Conformance is stricter,
// because it is told.
func Run(kvdbInit kvdb.DatastoreInit, t *testing.T, start StartKvdb, stop StopKvdb) {
	t.Helper()
	run(kvdbInit, t, start, stop, groups)
}

// RunBasic is Run without watches, locks, users and members.
func RunBasic(kvdbInit kvdb.DatastoreInit, t *testing.T, start StartKvdb, stop StopKvdb) {
	t.Helper()
	run(kvdbInit, t, start, stop, []group{
		keyGroup, valueGroup, writeGroup, conditionGroup, ttlGroup, readGroup, selectGroup,
		snapshotGroup, serializeGroup, txGroup, contextGroup, helperGroup, closeGroup,
	})
}

// RunLock is Run with the cases about locks only.
func RunLock(kvdbInit kvdb.DatastoreInit, t *testing.T, start StartKvdb, stop StopKvdb) {
	t.Helper()
	run(kvdbInit, t, start, stop, []group{lockGroup, guardGroup, electionGroup})
}

// RunWatch is Run with the cases about watches only.
func RunWatch(kvdbInit kvdb.DatastoreInit, t *testing.T, start StartKvdb, stop StopKvdb) {
	t.Helper()
	run(kvdbInit, t, start, stop, []group{watchGroup, resumeGroup, compactGroup})
}

// RunAuth runs the cases about users on a server that is running. kvdbInit must
// log in as an administrator where the store has users.
func RunAuth(kvdbInit kvdb.DatastoreInit, t *testing.T) {
	t.Helper()
	run(kvdbInit, t, nil, nil, []group{userGroup})
}

// RunControllerTests runs the cases about members, endpoints and
// defragmentation on a server that is running.
func RunControllerTests(kvdbInit kvdb.DatastoreInit, t *testing.T) {
	t.Helper()
	run(kvdbInit, t, nil, nil, []group{memberGroup, endpointGroup, defragmentGroup})
}

func run(kvdbInit kvdb.DatastoreInit, t *testing.T, start StartKvdb, stop StopKvdb, groups []group) {
	t.Helper()
	s := &suite{Harness: Harness{Name: "kvdb", Init: kvdbInit}, report: newReport("kvdb", groups)}
	if start != nil && stop != nil {
		s.Server = startStop{start, stop}
		require.NoError(t, start(true))
		defer func() { require.NoError(t, stop()) }()
	}
	expiry := slices.ContainsFunc(groups, func(g group) bool { return g.name == ttlGroup.name })
	t.Run("Probe", func(t *testing.T) { s.probe(t, expiry) })
	if !t.Failed() {
		t.Run("Cases", func(t *testing.T) { s.run(t, groups) })
	}
}

// probe completes the harness with the traits that it finds, with expiry also with those that
// probeExpiry finds.
func (s *suite) probe(t *testing.T, expiry bool) {
	e := newEnv(t, s)
	defer e.finish()
	s.Traits = e.probe()
	if expiry {
		e.probeExpiry(&s.Traits)
	}
	if s.Server == nil {
		return
	}
	e.do(Server.Stop, 0)
	_, err := e.kv.Get("before")
	e.do(Server.Start, 0)
	if !errors.Is(err, kvdb.ErrNoConnection) {
		s.Server = nil // the store works without the server that these functions start and stop
	}
}

// startStop is a Server of one member.
type startStop struct {
	start StartKvdb
	stop  StopKvdb
}

func (s startStop) Members() int    { return 1 }
func (s startStop) Stop(int) error  { return s.stop() }
func (s startStop) Start(int) error { return s.start(false) }

func (s startStop) Kill(int) error    { return cannot("kill") }
func (s startStop) Pause(int) error   { return cannot("pause") }
func (s startStop) Resume(int) error  { return cannot("resume") }
func (s startStop) Isolate(int) error { return cannot("isolate") }
func (s startStop) Rejoin(int) error  { return cannot("rejoin") }

func cannot(what string) error {
	return fmt.Errorf("a server with start and stop functions only cannot %s: %w", what, errors.ErrUnsupported)
}
