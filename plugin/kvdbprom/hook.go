package kvdbprom

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/series"
)

// Hook counts and measures what the instances do to which it is added. It is safe for
// concurrent use.
type Hook struct {
	collectors []prometheus.Collector

	operations  *series.Table[operation, prometheus.Observer]
	attempts    *series.Table[attempt, prometheus.Counter]
	conflicts   prometheus.Counter
	connections prometheus.Gauge

	lockWait, lockHold prometheus.Histogram
	locksHeld          prometheus.Gauge
	locksLost          map[string]prometheus.Counter

	watches       prometheus.Gauge
	interruptions map[string]prometheus.Counter
	events        *series.Table[kvdb.KVAction, prometheus.Counter]
	queue         series.Queue
	queued        prometheus.Gauge
	callbacks     prometheus.Histogram
}

var (
	_ prometheus.Collector = (*Hook)(nil)

	_ kvdb.HookOperation  = (*Hook)(nil)
	_ kvdb.HookRequest    = (*Hook)(nil)
	_ kvdb.HookConnection = (*Hook)(nil)
	_ kvdb.HookWatch      = (*Hook)(nil)
	_ kvdb.HookDelivery   = (*Hook)(nil)
	_ kvdb.HookLock       = (*Hook)(nil)
)

// Describe implements [prometheus.Collector].
func (h *Hook) Describe(to chan<- *prometheus.Desc) {
	for _, c := range h.collectors {
		c.Describe(to)
	}
}

// Collect implements [prometheus.Collector].
func (h *Hook) Collect(to chan<- prometheus.Metric) {
	for _, c := range h.collectors {
		c.Collect(to)
	}
}

// OnOperationStart implements [kvdb.HookOperation].
func (h *Hook) OnOperationStart(ctx context.Context, _ kvdb.Operation) context.Context { return ctx }

// OnOperationEnd implements [kvdb.HookOperation].
func (h *Hook) OnOperationEnd(_ context.Context, op kvdb.Operation, outcome kvdb.Outcome, _ error, took time.Duration) {
	h.operations.Of(operation{op.Backend, op.Name, outcome}).Observe(took.Seconds())
	if outcome == kvdb.OutcomeModified && op.Name == "commit" {
		h.conflicts.Inc()
	}
}

// OnRequest implements [kvdb.HookRequest].
func (h *Hook) OnRequest(_ context.Context, r kvdb.Request) {
	h.attempts.Of(attempt{r.Endpoint, r.Fate}).Inc()
}

// OnConnectionMade implements [kvdb.HookConnection].
func (h *Hook) OnConnectionMade(_, _ string) { h.connections.Inc() }

// OnConnectionLost implements [kvdb.HookConnection].
func (h *Hook) OnConnectionLost(_, _ string, _ error) { h.connections.Dec() }

// OnWatchStart implements [kvdb.HookWatch].
func (h *Hook) OnWatchStart(kvdb.Watch) { h.watches.Inc() }

// OnWatchInterrupted implements [kvdb.HookWatch].
func (h *Hook) OnWatchInterrupted(_ kvdb.Watch, err error) {
	h.interruptions[series.Interruption(err)].Inc()
}

// OnWatchResumed implements [kvdb.HookWatch].
func (h *Hook) OnWatchResumed(kvdb.Watch, time.Duration) {}

// OnWatchQueue implements [kvdb.HookWatch].
func (h *Hook) OnWatchQueue(w kvdb.Watch, queued int) { h.queued.Add(float64(h.queue.Set(w, queued))) }

// OnWatchEnd implements [kvdb.HookWatch].
func (h *Hook) OnWatchEnd(w kvdb.Watch, _, _ error) {
	h.watches.Dec()
	h.queued.Add(float64(h.queue.Set(w, 0)))
}

// OnDelivery implements [kvdb.HookDelivery].
func (h *Hook) OnDelivery(d kvdb.Delivery) {
	h.events.Of(d.Action).Inc()
	h.callbacks.Observe(d.Took.Seconds())
	h.queued.Add(float64(h.queue.Delivered(d.Watch)))
}

// OnLockWaiting implements [kvdb.HookLock].
func (h *Hook) OnLockWaiting(kvdb.LockInfo) {}

// OnLockObtained implements [kvdb.HookLock].
func (h *Hook) OnLockObtained(_ kvdb.LockInfo, waited time.Duration) {
	h.lockWait.Observe(waited.Seconds())
	h.locksHeld.Inc()
}

// OnLockNotObtained implements [kvdb.HookLock].
func (h *Hook) OnLockNotObtained(_ kvdb.LockInfo, waited time.Duration, _ error) {
	h.lockWait.Observe(waited.Seconds())
}

// OnLockHeldTooLong implements [kvdb.HookLock].
func (h *Hook) OnLockHeldTooLong(kvdb.LockInfo, time.Duration) {}

// OnLockLost implements [kvdb.HookLock].
func (h *Hook) OnLockLost(_ kvdb.LockInfo, held time.Duration, reason string) {
	h.locksLost[series.Loss(reason)].Inc()
	h.ended(held)
}

// OnLockReleased implements [kvdb.HookLock].
func (h *Hook) OnLockReleased(_ kvdb.LockInfo, held time.Duration, _ error) { h.ended(held) }

// ended records that a lock is no longer held.
func (h *Hook) ended(held time.Duration) {
	h.lockHold.Observe(held.Seconds())
	h.locksHeld.Dec()
}
