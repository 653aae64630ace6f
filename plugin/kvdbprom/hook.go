package kvdbprom

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portworx/kvdb"
)

// Hook counts and measures what the instances do to which it is added. It is safe for
// concurrent use.
type Hook struct {
	collectors []prometheus.Collector

	operations  *table[operation, prometheus.Observer]
	attempts    *table[attempt, prometheus.Counter]
	conflicts   prometheus.Counter
	connections prometheus.Gauge

	lockWait, lockHold prometheus.Histogram
	locksHeld          prometheus.Gauge
	locksLost          map[string]prometheus.Counter

	watches       prometheus.Gauge
	interruptions map[string]prometheus.Counter
	events        *table[kvdb.KVAction, prometheus.Counter]
	queue         queue
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
	h.operations.of(operation{op.Backend, op.Name, outcome}).Observe(took.Seconds())
	if outcome == kvdb.OutcomeModified && op.Name == "commit" {
		h.conflicts.Inc()
	}
}

// OnRequest implements [kvdb.HookRequest].
func (h *Hook) OnRequest(_ context.Context, r kvdb.Request) {
	h.attempts.of(attempt{r.Endpoint, r.Fate}).Inc()
}

// OnConnectionMade implements [kvdb.HookConnection].
func (h *Hook) OnConnectionMade(_, _ string) { h.connections.Inc() }

// OnConnectionLost implements [kvdb.HookConnection].
func (h *Hook) OnConnectionLost(_, _ string, _ error) { h.connections.Dec() }

// OnWatchStart implements [kvdb.HookWatch].
func (h *Hook) OnWatchStart(kvdb.Watch) { h.watches.Inc() }

// OnWatchInterrupted implements [kvdb.HookWatch].
func (h *Hook) OnWatchInterrupted(_ kvdb.Watch, err error) {
	reason := causeUnknown
	if err != nil {
		reason = string(kvdb.OutcomeOf(err))
	}
	counter, ok := h.interruptions[reason]
	if !ok {
		counter = h.interruptions[string(kvdb.OutcomeError)]
	}
	counter.Inc()
}

// OnWatchResumed implements [kvdb.HookWatch].
func (h *Hook) OnWatchResumed(kvdb.Watch, time.Duration) {}

// OnWatchQueue implements [kvdb.HookWatch].
func (h *Hook) OnWatchQueue(w kvdb.Watch, queued int) { h.queue.set(w.ID, queued) }

// OnWatchEnd implements [kvdb.HookWatch].
func (h *Hook) OnWatchEnd(w kvdb.Watch, _, _ error) {
	h.watches.Dec()
	h.queue.set(w.ID, 0)
}

// OnDelivery implements [kvdb.HookDelivery].
func (h *Hook) OnDelivery(d kvdb.Delivery) {
	h.events.of(d.Action).Inc()
	h.callbacks.Observe(d.Took.Seconds())
	h.queue.delivered(d.Watch.ID)
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
	counter, ok := h.locksLost[reason]
	if !ok {
		counter = h.locksLost[kvdb.LockLostUnknown]
	}
	counter.Inc()
	h.ended(held)
}

// OnLockReleased implements [kvdb.HookLock].
func (h *Hook) OnLockReleased(_ kvdb.LockInfo, held time.Duration, _ error) { h.ended(held) }

// ended records that a lock is no longer held.
func (h *Hook) ended(held time.Duration) {
	h.lockHold.Observe(held.Seconds())
	h.locksHeld.Dec()
}
