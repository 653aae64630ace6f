package driver_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// connectionHook observes connections only. It cannot be compared if made is set.
type connectionHook struct{ made any }

func (connectionHook) OnConnectionMade(string, string)        {}
func (connectionHook) OnConnectionLost(string, string, error) {}

// bothHook observes connections and watches.
type bothHook struct{ connectionHook }

func (*bothHook) OnWatchStart(kvdb.Watch)                  {}
func (*bothHook) OnWatchInterrupted(kvdb.Watch, error)     {}
func (*bothHook) OnWatchResumed(kvdb.Watch, time.Duration) {}
func (*bothHook) OnWatchQueue(kvdb.Watch, int)             {}
func (*bothHook) OnWatchEnd(kvdb.Watch, error, error)      {}

// Kinds has each hook once, under each interface that it implements.
func TestHooks(t *testing.T) {
	var h driver.Hooks
	require.Empty(t, h.Kinds().Connection)
	require.Empty(t, (*driver.Hooks)(nil).Kinds().Connection)
	one, both := &connectionHook{}, &bothHook{}
	h.Add(one, both, one)
	h.Add(both)
	require.Equal(t, []kvdb.HookConnection{one, both}, h.Kinds().Connection)
	require.Equal(t, []kvdb.HookWatch{both}, h.Kinds().Watch)
	require.Empty(t, h.Kinds().Lock)
	before := h.Kinds()
	h.Remove(one)
	require.Equal(t, []kvdb.HookConnection{both}, h.Kinds().Connection)
	require.Len(t, before.Connection, 2, "a call may still use it")
	incomparable := connectionHook{made: []int{}}
	h.Add(incomparable)
	h.Remove(incomparable, both)
	require.Equal(t, []kvdb.HookConnection{incomparable}, h.Kinds().Connection)
}

// connectionLog is a hook that records what it is told about connections.
type connectionLog struct{ told []string }

func (l *connectionLog) OnConnectionMade(backend, endpoint string) {
	l.told = append(l.told, "made "+backend+" "+endpoint)
}

func (l *connectionLog) OnConnectionLost(backend, endpoint string, err error) {
	l.told = append(l.told, fmt.Sprintf("lost %s %s %v", backend, endpoint, err))
}

// Hooks are told about each connection once, and about those that exist when they are
// added.
func TestConnected(t *testing.T) {
	(*driver.Hooks)(nil).Connected("store", "a:1")(nil) // has nobody to tell
	var h driver.Hooks
	lost := h.Connected("store", "a:1")
	h.Connected("store", "b:2")(nil)
	first, second := &connectionLog{}, &connectionLog{}
	h.Add(first)
	h.Add(first)
	require.Equal(t, []string{"made store a:1"}, first.told)
	other := h.Connected("store", "c:3")
	lost(io.EOF)
	lost(io.EOF)
	h.Add(first, second)
	require.Equal(t, []string{"made store a:1", "made store c:3", "lost store a:1 EOF"}, first.told)
	h.Remove(first) // so it must not count the connection that is left
	require.Equal(t, "lost store c:3 <nil>", first.told[3])
	other(nil)
	require.Len(t, first.told, 4)
	require.Equal(t, []string{"made store c:3", "lost store c:3 <nil>"}, second.told)
}

func BenchmarkNoHooks(b *testing.B) {
	var h driver.Hooks
	for b.Loop() {
		if len(h.Kinds().Operation) > 0 {
			b.Fatal("there is a hook")
		}
	}
}
