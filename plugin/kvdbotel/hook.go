package kvdbotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/series"
)

// Hook makes metrics and spans of what the instances do to which it is added. It is safe
// for concurrent use.
type Hook struct {
	tracer  trace.Tracer // nil if there are no spans
	details bool

	duration    metric.Float64Histogram
	attempts    metric.Int64Counter
	connections metric.Int64UpDownCounter

	lockWait, lockHold metric.Float64Histogram
	locksHeld          metric.Int64UpDownCounter
	locksLost          metric.Int64Counter

	watches               metric.Int64UpDownCounter
	events, interruptions metric.Int64Counter
	queued                metric.Int64UpDownCounter
	callbacks             metric.Float64Histogram
	queue                 series.Queue

	starts   *series.Table[call, spanStart]
	results  *series.Table[result, options]
	servers  *series.Table[server, []attribute.KeyValue]
	peers    *series.Table[server, options]
	fates    *series.Table[attempt, options]
	sources  *series.Table[source, options]
	happened *series.Table[event, options]
}

var (
	_ kvdb.HookOperation  = (*Hook)(nil)
	_ kvdb.HookRequest    = (*Hook)(nil)
	_ kvdb.HookConnection = (*Hook)(nil)
	_ kvdb.HookWatch      = (*Hook)(nil)
	_ kvdb.HookDelivery   = (*Hook)(nil)
	_ kvdb.HookLock       = (*Hook)(nil)
)

// background is the context of measurements that belong to no call.
var background = context.Background()

// OnOperationStart implements [kvdb.HookOperation]. It starts a span.
func (h *Hook) OnOperationStart(ctx context.Context, op kvdb.Operation) context.Context {
	if h.tracer == nil {
		return ctx
	}
	start := h.starts.Of(call{source{op.Backend, op.Domain}, op.Name})
	ctx, span := h.tracer.Start(ctx, start.name, start.options...)
	if !span.IsRecording() {
		return ctx
	}
	if h.details && op.Key != "" {
		span.SetAttributes(attribute.String(keyName, op.Key))
	}
	// The span of ctx may be the caller's in the other methods, if the hook was added after
	// the operation had started.
	return context.WithValue(ctx, h, span)
}

// spanOf returns the span that the hook has started for the operation of ctx, or nil.
func (h *Hook) spanOf(ctx context.Context) trace.Span {
	span, _ := ctx.Value(h).(trace.Span)
	return span
}

// OnOperationEnd implements [kvdb.HookOperation]. It ends the span.
func (h *Hook) OnOperationEnd(ctx context.Context, op kvdb.Operation, outcome kvdb.Outcome, err error, took time.Duration) {
	h.duration.Record(ctx, took.Seconds(), h.results.Of(result{call{source{op.Backend, op.Domain}, op.Name}, outcome}).record...)
	span := h.spanOf(ctx)
	if span == nil {
		return
	}
	span.SetAttributes(attribute.String(outcomeName, string(outcome)))
	if !outcome.IsAnswer() {
		span.SetAttributes(attribute.String(errorType, string(outcome)))
		description := ""
		if h.details && err != nil {
			description = err.Error()
		}
		span.SetStatus(codes.Error, description)
	}
	span.End()
}

// OnRequest implements [kvdb.HookRequest]. It adds an event to the span of the operation.
func (h *Hook) OnRequest(ctx context.Context, r kvdb.Request) {
	to := server{r.Backend, r.Endpoint}
	h.attempts.Add(ctx, 1, h.fates.Of(attempt{to, r.Fate}).add...)
	span := h.spanOf(ctx)
	if span == nil {
		return
	}
	peer := h.servers.Of(to)
	attributes := append([]attribute.KeyValue{
		attribute.Int(attemptNumber, r.Attempt),
		attribute.String(attemptFate, string(r.Fate)),
		attribute.Float64(attemptDuration, r.Took.Seconds()),
	}, peer...)
	if h.details && r.Err != nil {
		attributes = append(attributes, attribute.String(attemptError, r.Err.Error()))
	}
	span.AddEvent(attemptEvent, trace.WithAttributes(attributes...))
	span.SetAttributes(peer...)
}

// OnConnectionMade implements [kvdb.HookConnection].
func (h *Hook) OnConnectionMade(backend, endpoint string) {
	h.connections.Add(background, 1, h.peers.Of(server{backend, endpoint}).add...)
}

// OnConnectionLost implements [kvdb.HookConnection].
func (h *Hook) OnConnectionLost(backend, endpoint string, _ error) {
	h.connections.Add(background, -1, h.peers.Of(server{backend, endpoint}).add...)
}

// ofWatch returns the attributes of a watch.
func (h *Hook) ofWatch(w kvdb.Watch) options { return h.sources.Of(source{w.Backend, w.Domain}) }

// OnWatchStart implements [kvdb.HookWatch].
func (h *Hook) OnWatchStart(w kvdb.Watch) { h.watches.Add(background, 1, h.ofWatch(w).add...) }

// OnWatchInterrupted implements [kvdb.HookWatch].
func (h *Hook) OnWatchInterrupted(w kvdb.Watch, err error) {
	h.interruptions.Add(background, 1, h.happened.Of(event{source{w.Backend, w.Domain}, errorType, series.Interruption(err)}).add...)
}

// OnWatchResumed implements [kvdb.HookWatch].
func (h *Hook) OnWatchResumed(kvdb.Watch, time.Duration) {}

// OnWatchQueue implements [kvdb.HookWatch].
func (h *Hook) OnWatchQueue(w kvdb.Watch, queued int) { h.addQueued(w, h.queue.Set(w, queued)) }

// addQueued changes the number of events that wait.
func (h *Hook) addQueued(w kvdb.Watch, change int) {
	if change != 0 {
		h.queued.Add(background, int64(change), h.ofWatch(w).add...)
	}
}

// OnWatchEnd implements [kvdb.HookWatch].
func (h *Hook) OnWatchEnd(w kvdb.Watch, _, _ error) {
	h.watches.Add(background, -1, h.ofWatch(w).add...)
	h.addQueued(w, h.queue.Set(w, 0))
}

// OnDelivery implements [kvdb.HookDelivery].
func (h *Hook) OnDelivery(d kvdb.Delivery) {
	at := source{d.Watch.Backend, d.Watch.Domain}
	h.events.Add(background, 1, h.happened.Of(event{at, watchAction, d.Action.String()}).add...)
	h.callbacks.Record(background, d.Took.Seconds(), h.sources.Of(at).record...)
	h.addQueued(d.Watch, h.queue.Delivered(d.Watch))
}

// ofLock returns the attributes of a lock.
func (h *Hook) ofLock(l kvdb.LockInfo) options { return h.sources.Of(source{l.Backend, l.Domain}) }

// OnLockWaiting implements [kvdb.HookLock].
func (h *Hook) OnLockWaiting(kvdb.LockInfo) {}

// OnLockObtained implements [kvdb.HookLock].
func (h *Hook) OnLockObtained(l kvdb.LockInfo, waited time.Duration) {
	h.lockWait.Record(background, waited.Seconds(), h.ofLock(l).record...)
	h.locksHeld.Add(background, 1, h.ofLock(l).add...)
}

// OnLockNotObtained implements [kvdb.HookLock].
func (h *Hook) OnLockNotObtained(l kvdb.LockInfo, waited time.Duration, _ error) {
	h.lockWait.Record(background, waited.Seconds(), h.ofLock(l).record...)
}

// OnLockHeldTooLong implements [kvdb.HookLock].
func (h *Hook) OnLockHeldTooLong(kvdb.LockInfo, time.Duration) {}

// OnLockLost implements [kvdb.HookLock].
func (h *Hook) OnLockLost(l kvdb.LockInfo, held time.Duration, reason string) {
	h.locksLost.Add(background, 1, h.happened.Of(event{source{l.Backend, l.Domain}, lossReason, series.Loss(reason)}).add...)
	h.ended(l, held)
}

// OnLockReleased implements [kvdb.HookLock].
func (h *Hook) OnLockReleased(l kvdb.LockInfo, held time.Duration, _ error) { h.ended(l, held) }

// ended records that a lock is no longer held.
func (h *Hook) ended(l kvdb.LockInfo, held time.Duration) {
	h.lockHold.Record(background, held.Seconds(), h.ofLock(l).record...)
	h.locksHeld.Add(background, -1, h.ofLock(l).add...)
}
