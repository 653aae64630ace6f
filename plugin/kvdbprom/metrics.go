package kvdbprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/series"
)

// Buckets of the histograms, in seconds.
var (
	operationBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	waitBuckets      = []float64{.001, .01, .1, .5, 1, 5, 15, 60, 300}
	holdBuckets      = []float64{.01, .1, 1, 10, 60, 300, 1800, 7200, 86400}
	callbackBuckets  = []float64{.0001, .001, .01, .1, .5, 1, 5, 30}
)

// Values of labels. Like those that package series lists, their counters exist from the start, so that the first increase can be
// seen.
var (
	fates   = []kvdb.Fate{kvdb.FateAnswered, kvdb.FateRefused, kvdb.FateNotRun, kvdb.FatePerhaps}
	actions = []kvdb.KVAction{kvdb.KVSet, kvdb.KVCreate, kvdb.KVDelete, kvdb.KVExpire}
)

// operation and attempt are the label values of these metrics.
type (
	operation struct {
		backend, name string
		outcome       kvdb.Outcome
	}
	attempt struct {
		endpoint string
		fate     kvdb.Fate
	}
)

// newHook returns a hook whose metrics are not registered.
func newHook(c config) *Hook {
	h := &Hook{}
	operations := histogramVec(h, "kvdb_operation_duration_seconds",
		"Time that operations of kvdb took.", c.operationBuckets, "backend", "operation", "outcome")
	h.operations = series.NewTable(func(o operation) prometheus.Observer {
		return operations.WithLabelValues(o.backend, o.name, string(o.outcome))
	})
	attempts := counterVec(h, "kvdb_attempts_total", "Attempts at requests to servers.", "endpoint", "fate")
	h.attempts = series.NewTable(func(a attempt) prometheus.Counter {
		for _, fate := range fates {
			attempts.WithLabelValues(a.endpoint, string(fate))
		}
		return attempts.WithLabelValues(a.endpoint, string(a.fate))
	})
	h.conflicts = add(h, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "kvdb_tx_conflicts_total", Help: "Commits of transactions that failed because a key had changed.",
	}))
	h.connections = gauge(h, "kvdb_connections", "Connections to servers.")

	h.lockWait = histogram(h, "kvdb_lock_wait_seconds", "Time that calls waited for a lock, obtained or not.", waitBuckets)
	h.lockHold = histogram(h, "kvdb_lock_hold_seconds", "Time that locks were held, until they were released or lost.", holdBuckets)
	h.locksHeld = gauge(h, "kvdb_locks_held", "Locks that are held.")
	h.locksLost = counters(h, "kvdb_locks_lost_total", "Locks that were lost.", "reason", series.Losses)

	h.watches = gauge(h, "kvdb_watches", "Watches that run.")
	h.interruptions = counters(h, "kvdb_watch_interruptions_total", "Interruptions of watches.", "reason", series.Interruptions)
	h.queued = gauge(h, "kvdb_watch_queue", "Events that wait for the callbacks of watches.")
	h.callbacks = histogram(h, "kvdb_watch_callback_seconds", "Time that the callbacks of watches took for an event.", callbackBuckets)
	events := counterVec(h, "kvdb_watch_events_total", "Events that were delivered to the callbacks of watches.", "action")
	h.events = series.NewTable(func(a kvdb.KVAction) prometheus.Counter { return events.WithLabelValues(a.String()) })
	for _, action := range actions {
		h.events.Of(action)
	}
	return h
}

// add adds a collector to those of h.
func add[C prometheus.Collector](h *Hook, c C) C {
	h.collectors = append(h.collectors, c)
	return c
}

func gauge(h *Hook, name, help string) prometheus.Gauge {
	return add(h, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help}))
}

func histogram(h *Hook, name, help string, buckets []float64) prometheus.Histogram {
	return add(h, prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}))
}

func histogramVec(h *Hook, name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return add(h, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels))
}

func counterVec(h *Hook, name, help string, labels ...string) *prometheus.CounterVec {
	return add(h, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
}

// counters returns the counters of a metric with one label, by the values of the label.
func counters(h *Hook, name, help, label string, values []string) map[string]prometheus.Counter {
	vec := counterVec(h, name, help, label)
	all := make(map[string]prometheus.Counter, len(values))
	for _, value := range values {
		all[value] = vec.WithLabelValues(value)
	}
	return all
}
