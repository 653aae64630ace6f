package kvdbprom_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/plugin/kvdbprom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHook returns a hook and its registry.
func newHook(t testing.TB, options ...kvdbprom.Option) (*kvdbprom.Hook, *prometheus.Registry) {
	registry := prometheus.NewPedanticRegistry()
	hook, err := kvdbprom.New(registry, options...)
	require.NoError(t, err)
	return hook, registry
}

// values returns the values of a metric, of a histogram its number of observations, by its
// labels such as "reason=expired".
func values(t testing.TB, g prometheus.Gatherer, name string) map[string]float64 {
	families, err := g.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += fmt.Sprintf(" %s=%s", l.GetName(), l.GetValue())
			}
			if labels != "" {
				labels = labels[1:]
			}
			all[labels] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	require.NotEmpty(t, all, name)
	return all
}

// value returns the value of a metric without labels.
func value(t testing.TB, g prometheus.Gatherer, name string) float64 {
	return values(t, g, name)[""]
}

var (
	watch = kvdb.Watch{Backend: "b", Domain: "d", Key: "the-key", ID: 1}
	lock  = kvdb.LockInfo{Backend: "b", Domain: "d", Key: "the-key", ID: "the-owner"}
	errIO = errors.New("the-error")
)

func end(h *kvdbprom.Hook, name string, outcome kvdb.Outcome, took time.Duration) {
	op := kvdb.Operation{Backend: "b", Domain: "d", Name: name, Key: "the-key"}
	h.OnOperationEnd(h.OnOperationStart(context.Background(), op), op, outcome, nil, took)
}

// Operations are counted by backend, name and outcome, and conflicts of transactions apart.
func TestOperations(t *testing.T) {
	hook, registry := newHook(t, kvdbprom.WithOperationBuckets(.5, 2))
	end(hook, "get", kvdb.OutcomeOK, time.Second)
	end(hook, "get", kvdb.OutcomeOK, 3*time.Second)
	end(hook, "get", kvdb.OutcomeNotFound, time.Millisecond)
	end(hook, "update", kvdb.OutcomeModified, time.Millisecond)
	end(hook, "commit", kvdb.OutcomeOK, time.Millisecond)
	require.Zero(t, value(t, registry, "kvdb_tx_conflicts_total"))
	end(hook, "commit", kvdb.OutcomeModified, time.Millisecond)
	require.Equal(t, 1.0, value(t, registry, "kvdb_tx_conflicts_total"))
	const name = "kvdb_operation_duration_seconds"
	require.Equal(t, map[string]float64{
		"backend=b operation=get outcome=ok": 2, "backend=b operation=get outcome=not_found": 1,
		"backend=b operation=update outcome=modified": 1,
		"backend=b operation=commit outcome=ok":       1, "backend=b operation=commit outcome=modified": 1,
	}, values(t, registry, name))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if h := m.GetHistogram(); family.GetName() == name && h.GetSampleCount() == 2 {
				require.Equal(t, 4.0, h.GetSampleSum(), "seconds")
				require.EqualValues(t, []uint64{0, 1}, []uint64{h.Bucket[0].GetCumulativeCount(), h.Bucket[1].GetCumulativeCount()})
				return
			}
		}
	}
	t.Fatal("not found")
}

// Attempts are counted by endpoint and fate. All fates of an endpoint are there at once, so
// that the first increase of each can be seen.
func TestRequestsAndConnections(t *testing.T) {
	hook, registry := newHook(t)
	hook.OnRequest(t.Context(), kvdb.Request{Backend: "b", Endpoint: "a:1", Attempt: 1, Fate: kvdb.FateNotRun, Err: errIO})
	hook.OnRequest(t.Context(), kvdb.Request{Backend: "b", Endpoint: "a:1", Attempt: 2, Fate: kvdb.FateAnswered})
	require.Equal(t, map[string]float64{
		"endpoint=a:1 fate=answered": 1, "endpoint=a:1 fate=not_run": 1, "endpoint=a:1 fate=perhaps": 0, "endpoint=a:1 fate=refused": 0,
	}, values(t, registry, "kvdb_attempts_total"))
	hook.OnConnectionMade("b", "a:1")
	hook.OnConnectionMade("b", "b:1")
	hook.OnConnectionLost("b", "a:1", errIO)
	require.Equal(t, 1.0, value(t, registry, "kvdb_connections"))
}

// A lock counts as held from when it is obtained until it is released or lost.
func TestLocks(t *testing.T) {
	hook, registry := newHook(t)
	held := func() float64 { return value(t, registry, "kvdb_locks_held") }
	for range 3 {
		hook.OnLockWaiting(lock)
	}
	require.Zero(t, held())
	hook.OnLockObtained(lock, time.Second)
	hook.OnLockObtained(lock, time.Second)
	hook.OnLockNotObtained(lock, time.Second, kvdb.ErrExist)
	require.Equal(t, 2.0, held())
	require.Equal(t, 3.0, value(t, registry, "kvdb_lock_wait_seconds"))
	hook.OnLockHeldTooLong(lock, time.Minute)
	hook.OnLockReleased(lock, time.Second, nil)
	require.Equal(t, 1.0, held())
	hook.OnLockLost(lock, time.Second, kvdb.LockExpired)
	require.Zero(t, held())
	require.Equal(t, 2.0, value(t, registry, "kvdb_lock_hold_seconds"))
	hook.OnLockObtained(lock, time.Second)
	hook.OnLockLost(lock, time.Second, "lost the-key")
	require.Equal(t, map[string]float64{"reason=expired": 1, "reason=removed": 0, "reason=closed": 0, "reason=unknown": 1},
		values(t, registry, "kvdb_locks_lost_total"))
}

// The reason of an interruption is a class, and never the text of the error.
func TestWatches(t *testing.T) {
	hook, registry := newHook(t)
	hook.OnWatchStart(watch)
	hook.OnWatchStart(watch)
	require.Equal(t, 2.0, value(t, registry, "kvdb_watches"))
	for _, err := range []error{kvdb.ErrNoConnection, fmt.Errorf("member: %w", kvdb.ErrNoQuorum), kvdb.ErrLogin, errIO, context.DeadlineExceeded, nil} {
		hook.OnWatchInterrupted(watch, err)
		hook.OnWatchResumed(watch, time.Second)
	}
	require.Equal(t, map[string]float64{"reason=no_connection": 2, "reason=denied": 1, "reason=error": 2, "reason=unknown": 1},
		values(t, registry, "kvdb_watch_interruptions_total"))
	hook.OnWatchEnd(watch, kvdb.ErrWatchStopped, nil)
	require.Equal(t, 1.0, value(t, registry, "kvdb_watches"))
}

// The queue is the sum over all watches, also over those of one key, and has no events of
// watches that ended.
func TestWatchQueue(t *testing.T) {
	hook, registry := newHook(t)
	queue := func() float64 { return value(t, registry, "kvdb_watch_queue") }
	other := watch
	other.ID++
	hook.OnWatchQueue(watch, 3)
	hook.OnWatchQueue(other, 4)
	require.Equal(t, 7.0, queue())
	delivery := kvdb.Delivery{Watch: watch, Key: "the-key", Action: kvdb.KVSet, Took: time.Second}
	hook.OnDelivery(delivery)
	delivery.Action = kvdb.KVDelete
	hook.OnDelivery(delivery)
	require.Equal(t, 5.0, queue())
	hook.OnWatchQueue(watch, 0)
	hook.OnDelivery(delivery)
	require.Equal(t, 4.0, queue())
	hook.OnWatchEnd(other, kvdb.ErrWatchStopped, nil)
	require.Zero(t, queue())
	require.Equal(t, map[string]float64{"action=set": 1, "action=delete": 2, "action=create": 0, "action=expire": 0},
		values(t, registry, "kvdb_watch_events_total"))
	require.Equal(t, 3.0, value(t, registry, "kvdb_watch_callback_seconds"))
}

// A registerer has one hook, also behind one that adds labels. Metrics of others with the
// same names are an error, and so are wrong buckets.
func TestNew(t *testing.T) {
	hook, registry := newHook(t)
	same, err := kvdbprom.New(registry, kvdbprom.WithOperationBuckets(1))
	require.NoError(t, err)
	require.Same(t, hook, same)

	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"cluster": "a"}, prometheus.NewRegistry())
	first, err := kvdbprom.New(labelled)
	require.NoError(t, err)
	require.NotSame(t, hook, first)
	second, err := kvdbprom.New(labelled)
	require.NoError(t, err)
	require.Same(t, first, second)

	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "kvdb_connections"}))
	_, err = kvdbprom.New(taken)
	require.ErrorContains(t, err, "kvdb_connections")
	for _, buckets := range [][]float64{{1, 1}, {2, 1}} {
		_, err = kvdbprom.New(nil, kvdbprom.WithOperationBuckets(buckets...))
		require.ErrorIs(t, err, kvdb.ErrIllegal)
	}
	unregistered, err := kvdbprom.New(nil)
	require.NoError(t, err)
	end(unregistered, "get", kvdb.OutcomeOK, time.Second)
	require.Equal(t, 1, testutil.CollectAndCount(unregistered, "kvdb_operation_duration_seconds"))
}

// A hook can be added to an instance.
func TestAddHooks(t *testing.T) {
	hook, _ := newHook(t)
	kv, err := mem.New("d", nil, nil, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, kvdb.Close(kv)) }()
	require.NoError(t, kvdb.AddHooks(kv, hook))
}

// hot calls what is called for each operation, request and event.
func hot(h *kvdbprom.Hook) {
	end(h, "get", kvdb.OutcomeOK, time.Millisecond)
	h.OnRequest(context.Background(), kvdb.Request{Endpoint: "a:1", Fate: kvdb.FateAnswered})
	h.OnWatchQueue(watch, 1)
	h.OnDelivery(kvdb.Delivery{Watch: watch, Action: kvdb.KVSet})
}

// An operation, a request and an event allocate nothing.
func TestAllocations(t *testing.T) {
	hook, _ := newHook(t)
	require.Zero(t, testing.AllocsPerRun(100, func() { hot(hook) }))
}

func BenchmarkOperation(b *testing.B) {
	hook, _ := newHook(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			end(hook, "get", kvdb.OutcomeOK, time.Millisecond)
		}
	})
}

func BenchmarkOperationSerial(b *testing.B) {
	hook, _ := newHook(b)
	b.ReportAllocs()
	for b.Loop() {
		end(hook, "get", kvdb.OutcomeOK, time.Millisecond)
	}
}

func BenchmarkDelivery(b *testing.B) {
	hook, _ := newHook(b)
	b.ReportAllocs()
	for b.Loop() {
		hook.OnWatchQueue(watch, 1)
		hook.OnDelivery(kvdb.Delivery{Watch: watch, Action: kvdb.KVSet, Took: time.Millisecond})
	}
}
