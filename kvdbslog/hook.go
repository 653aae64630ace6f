// Package kvdbslog logs what an instance does, with log/slog:
//
//   - WARN: a connection is lost, a watch is interrupted or cannot continue, a lock is lost
//     or held for too long.
//   - INFO: a connection is made, or closed by the instance; a watch is resumed.
//   - DEBUG: each operation, each attempt at a request, each lock and watch.
//
// Keys are logged only if DEBUG is enabled, values never.
//
// [New] returns a hook for [kvdb.AddHooks]. The option [kvdb.WrappersOption] with the value
// "Wrapper_Slog" adds one that uses [slog.Default].
package kvdbslog

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/portworx/kvdb"
)

// Hook logs what the instances do to which it is added. It is safe for concurrent use.
type Hook struct{ logger *slog.Logger }

var (
	_ kvdb.HookOperation  = (*Hook)(nil)
	_ kvdb.HookRequest    = (*Hook)(nil)
	_ kvdb.HookConnection = (*Hook)(nil)
	_ kvdb.HookWatch      = (*Hook)(nil)
	_ kvdb.HookLock       = (*Hook)(nil)
)

// New returns a hook that logs to logger.
func New(logger *slog.Logger) *Hook { return &Hook{logger} }

// isDebug reports whether DEBUG is enabled.
func (h *Hook) isDebug(ctx context.Context) bool { return h.logger.Enabled(ctx, slog.LevelDebug) }

// log logs a record that has no context of its own.
func (h *Hook) log(level slog.Level, message string, attrs ...slog.Attr) {
	h.logger.LogAttrs(context.Background(), level, message, attrs...)
}

// keyed adds the key to attrs if DEBUG is enabled.
func (h *Hook) keyed(key string, attrs ...slog.Attr) []slog.Attr {
	if h.isDebug(context.Background()) {
		attrs = append(attrs, slog.String("key", key))
	}
	return attrs
}

// failure is the attribute of an error. It leaves out the URL of a request, because that has
// the key.
func failure(err error) slog.Attr {
	if err == nil {
		return slog.Attr{}
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	return slog.String("error", err.Error())
}

// OnOperationStart implements [kvdb.HookOperation].
func (h *Hook) OnOperationStart(ctx context.Context, _ kvdb.Operation) context.Context { return ctx }

// OnOperationEnd implements [kvdb.HookOperation].
func (h *Hook) OnOperationEnd(ctx context.Context, op kvdb.Operation, outcome kvdb.Outcome, err error, took time.Duration) {
	if h.isDebug(ctx) {
		h.logger.LogAttrs(ctx, slog.LevelDebug, "kvdb: operation", slog.String("backend", op.Backend),
			slog.String("domain", op.Domain), slog.String("operation", op.Name), slog.String("key", op.Key),
			slog.String("outcome", string(outcome)), slog.Duration("took", took), failure(err))
	}
}

// OnRequest implements [kvdb.HookRequest].
func (h *Hook) OnRequest(ctx context.Context, r kvdb.Request) {
	if h.isDebug(ctx) {
		h.logger.LogAttrs(ctx, slog.LevelDebug, "kvdb: request", slog.String("backend", r.Backend),
			slog.String("endpoint", r.Endpoint), slog.Int("attempt", r.Attempt), slog.String("fate", string(r.Fate)),
			slog.Duration("took", r.Took), failure(r.Err))
	}
}

// OnConnectionMade implements [kvdb.HookConnection].
func (h *Hook) OnConnectionMade(backend, endpoint string) {
	h.log(slog.LevelInfo, "kvdb: connection made", slog.String("backend", backend), slog.String("endpoint", endpoint))
}

// OnConnectionLost implements [kvdb.HookConnection]. A connection that the instance has closed
// is not lost.
func (h *Hook) OnConnectionLost(backend, endpoint string, err error) {
	level, message := slog.LevelWarn, "kvdb: connection lost"
	if err == nil {
		level, message = slog.LevelInfo, "kvdb: connection closed"
	}
	h.log(level, message, slog.String("backend", backend), slog.String("endpoint", endpoint), failure(err))
}

// watch logs about a watch.
func (h *Hook) watch(level slog.Level, message string, w kvdb.Watch, attrs ...slog.Attr) {
	if !h.logger.Enabled(context.Background(), level) {
		return
	}
	h.log(level, message, append(h.keyed(w.Key, slog.String("backend", w.Backend), slog.String("domain", w.Domain)), attrs...)...)
}

// OnWatchStart implements [kvdb.HookWatch].
func (h *Hook) OnWatchStart(w kvdb.Watch) { h.watch(slog.LevelDebug, "kvdb: watch started", w) }

// OnWatchInterrupted implements [kvdb.HookWatch].
func (h *Hook) OnWatchInterrupted(w kvdb.Watch, err error) {
	h.watch(slog.LevelWarn, "kvdb: watch interrupted", w, failure(err))
}

// OnWatchResumed implements [kvdb.HookWatch].
func (h *Hook) OnWatchResumed(w kvdb.Watch, gap time.Duration) {
	h.watch(slog.LevelInfo, "kvdb: watch resumed", w, slog.Duration("gap", gap))
}

// OnWatchQueue implements [kvdb.HookWatch]. It logs nothing.
func (h *Hook) OnWatchQueue(kvdb.Watch, int) {}

// OnWatchEnd implements [kvdb.HookWatch]. It warns if the watch missed events or the store
// could not be reached, and not if the program has stopped it.
func (h *Hook) OnWatchEnd(w kvdb.Watch, err, cause error) {
	level := slog.LevelDebug
	if errors.Is(err, kvdb.ErrWatchRevisionCompacted) || errors.Is(cause, kvdb.ErrNoConnection) {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{failure(err)}
	if cause != nil {
		attrs = append(attrs, slog.String("reason", string(kvdb.OutcomeOf(cause))))
		if h.isDebug(context.Background()) { // the text may be the program's own
			attrs = append(attrs, slog.String("cause", cause.Error()))
		}
	}
	h.watch(level, "kvdb: watch ended", w, attrs...)
}

// lock logs about a lock.
func (h *Hook) lock(level slog.Level, message string, l kvdb.LockInfo, attrs ...slog.Attr) {
	if !h.logger.Enabled(context.Background(), level) {
		return
	}
	all := []slog.Attr{slog.String("backend", l.Backend), slog.String("domain", l.Domain), slog.String("id", l.ID)}
	if l.Token != 0 {
		all = append(all, slog.Uint64("token", l.Token))
	}
	h.log(level, message, append(h.keyed(l.Key, all...), attrs...)...)
}

// OnLockWaiting implements [kvdb.HookLock].
func (h *Hook) OnLockWaiting(l kvdb.LockInfo) { h.lock(slog.LevelDebug, "kvdb: waiting for lock", l) }

// OnLockObtained implements [kvdb.HookLock].
func (h *Hook) OnLockObtained(l kvdb.LockInfo, waited time.Duration) {
	h.lock(slog.LevelDebug, "kvdb: lock obtained", l, slog.Duration("waited", waited))
}

// OnLockNotObtained implements [kvdb.HookLock].
func (h *Hook) OnLockNotObtained(l kvdb.LockInfo, waited time.Duration, err error) {
	h.lock(slog.LevelDebug, "kvdb: lock not obtained", l, slog.Duration("waited", waited), failure(err))
}

// OnLockHeldTooLong implements [kvdb.HookLock].
func (h *Hook) OnLockHeldTooLong(l kvdb.LockInfo, held time.Duration) {
	h.lock(slog.LevelWarn, "kvdb: lock held too long", l, slog.Duration("held", held))
}

// OnLockLost implements [kvdb.HookLock].
func (h *Hook) OnLockLost(l kvdb.LockInfo, held time.Duration, reason string) {
	h.lock(slog.LevelWarn, "kvdb: lock lost", l, slog.Duration("held", held), slog.String("reason", reason))
}

// OnLockReleased implements [kvdb.HookLock].
func (h *Hook) OnLockReleased(l kvdb.LockInfo, held time.Duration, err error) {
	h.lock(slog.LevelDebug, "kvdb: lock released", l, slog.Duration("held", held), failure(err))
}
