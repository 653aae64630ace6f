package driver_test

import (
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

func BenchmarkNoHooks(b *testing.B) {
	var h driver.Hooks
	for b.Loop() {
		if len(h.Kinds().Operation) > 0 {
			b.Fatal("there is a hook")
		}
	}
}
