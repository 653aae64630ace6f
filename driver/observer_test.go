package driver_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/driver"
)

// watchHook records its calls.
type watchHook struct{ calls []string }

func (h *watchHook) add(format string, args ...any) {
	h.calls = append(h.calls, fmt.Sprintf(format, args...))
}

func (h *watchHook) OnWatchStart(w kvdb.Watch)                  { h.add("start %s", w.Key) }
func (h *watchHook) OnWatchInterrupted(_ kvdb.Watch, err error) { h.add("interrupted: %v", err) }
func (h *watchHook) OnWatchResumed(_ kvdb.Watch, gap time.Duration) {
	h.add("resumed after %v", gap)
}
func (h *watchHook) OnWatchQueue(_ kvdb.Watch, queued int)     { h.add("queue %d", queued) }
func (h *watchHook) OnWatchEnd(_ kvdb.Watch, err, cause error) { h.add("end: %v, %v", err, cause) }

// take returns the calls since the last take.
func (h *watchHook) take() []string {
	calls := h.calls
	h.calls = nil
	return calls
}

var errCause = errors.New("cause")

// An interruption is told once, after the start, and with the time until the watch resumes.
func TestWatchObserverInterruptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hooks driver.Hooks
		hook := &watchHook{}
		hooks.Add(hook)
		o := driver.NewWatchObserver(&hooks, kvdb.Watch{Key: "key"})
		o.Interrupted(errCause)
		time.Sleep(time.Second)
		require.Empty(t, hook.take(), "the watch has not started")
		o.Start()
		o.Interrupted(errors.New("another"))
		time.Sleep(time.Second)
		o.Resumed()
		o.Resumed()
		require.Equal(t, []string{"start key", "interrupted: cause", "resumed after 2s"}, hook.take())
		o.End(kvdb.ErrWatchStopped, errCause)
		o.Interrupted(errCause)
		o.Resumed()
		o.Queued(1)
		require.Equal(t, []string{"end: " + kvdb.ErrWatchStopped.Error() + ", cause"}, hook.take())
	})
}

// A hook is told only about watches that start after it was added, until it is removed.
func TestWatchObserverHooks(t *testing.T) {
	var hooks driver.Hooks
	first, second, late := &watchHook{}, &watchHook{}, &watchHook{}
	hooks.Add(first, second)
	o := driver.NewWatchObserver(&hooks, kvdb.Watch{Key: "key"})
	o.Start()
	hooks.Remove(first)
	hooks.Add(late)
	o.Interrupted(errCause)
	require.Equal(t, []string{"start key"}, first.take())
	require.Equal(t, []string{"start key", "interrupted: cause"}, second.take())
	require.Empty(t, late.take())
}

// The queue has the events in the store and those that the engine has taken.
func TestWatchObserverQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hooks driver.Hooks
		hook := &watchHook{}
		o := driver.NewWatchObserver(&hooks, kvdb.Watch{})
		o.Queued(1)
		require.True(t, o.Taken(1).IsZero(), "there is no hook")
		hooks.Add(hook)
		o = driver.NewWatchObserver(&hooks, kvdb.Watch{})
		o.Start()
		hook.take()

		require.Equal(t, time.Now(), o.Taken(2), "the store does not report its queue")
		o.Delivered(1)
		o.Delivered(1)
		require.Equal(t, []string{"queue 2", "queue 0"}, hook.take())

		arrival := time.Now()
		o.Queued(1)
		time.Sleep(time.Second)
		o.Queued(2)
		o.Queued(0) // Next takes both,
		second := time.Now()
		o.Queued(1) // and another comes before it returns
		time.Sleep(time.Second)
		require.Equal(t, arrival, o.Taken(2))
		o.Queued(2)
		o.Delivered(1)
		o.Delivered(1)
		o.Queued(0)
		require.Equal(t, second, o.Taken(2))
		o.Delivered(2)
		require.Equal(t, []string{"queue 1", "queue 2", "queue 1", "queue 4", "queue 0"}, hook.take())
	})
}

// Watches of the same key have different IDs, which all calls about a watch carry.
func TestWatchID(t *testing.T) {
	var hooks driver.Hooks
	same := kvdb.Watch{Backend: "b", Domain: "d", Key: "key", Tree: true}
	first, second := driver.NewWatchObserver(&hooks, same).Watch(), driver.NewWatchObserver(&hooks, same).Watch()
	require.NotZero(t, first.ID)
	require.NotEqual(t, first.ID, second.ID)
	first.ID, second.ID = 0, 0
	require.Equal(t, []kvdb.Watch{same, same}, []kvdb.Watch{first, second})
}

// A store may call a nil observer.
func TestNilWatchObserver(t *testing.T) {
	var o *driver.WatchObserver
	o.Interrupted(errCause)
	o.Resumed()
	o.Queued(1)
}
