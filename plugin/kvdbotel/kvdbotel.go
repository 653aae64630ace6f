// Package kvdbotel has a hook that makes metrics and spans for OpenTelemetry of what
// instances of kvdb do. It uses the API of OpenTelemetry only, so the program chooses the
// SDK and where it sends them.
//
// A program that imports the package turns it on by an option, with the global providers:
//
//	options := map[string]string{kvdb.WrappersOption: string(kvdbotel.Wrapper)}
//	kv, err := kvdb.New("etcdv3-kv", "my/app", endpoints, options, nil)
//
// Or it gives a hook to [kvdb.AddHooks] or [kvdb.Config]:
//
//	hook, err := kvdbotel.New(kvdbotel.WithTracerProvider(provider))
//	kv, err := kvdb.Open(ctx, kvdb.Config{Backend: "etcdv3-kv", Hooks: []kvdb.Hook{hook}})
//
// # Operations
//
// The metric db.client.operation.duration and a span of kind client for each operation
// follow the semantic conventions for databases, version 1.43.0. Their attributes are:
//
//	db.system.name     etcd, consul, zookeeper, bbolt; for others the name of the backend
//	db.namespace       the domain of the instance
//	db.operation.name  see [kvdb.Operation]
//	error.type         the [kvdb.Outcome], if it is a failure and not an answer
//
// The name of a span is that of the operation and the domain, such as "get my/app". Its
// parent is the span in the context of the view, see [kvdb.WithContext]. It also has
// kvdb.outcome, and for each attempt at a request an event kvdb.attempt with kvdb.attempt.number,
// kvdb.attempt.fate, kvdb.attempt.duration in seconds, and server.address and server.port,
// which the span then has too.
//
// # Other metrics
//
//	kvdb.attempts                 requests: db.system.name, server.address, server.port, kvdb.attempt.fate
//	kvdb.connections              connections to servers: db.system.name, server.address, server.port
//	kvdb.lock.wait.duration       s, obtained or not
//	kvdb.lock.hold.duration       s, released or lost
//	kvdb.lock.held                locks held now
//	kvdb.lock.lost                kvdb.lock.loss.reason
//	kvdb.watch.active             watches that run
//	kvdb.watch.events             events delivered: kvdb.watch.action
//	kvdb.watch.interruptions      error.type
//	kvdb.watch.queue              events that wait for callbacks
//	kvdb.watch.callback.duration  s, for an event
//
// Those of locks and watches have db.system.name and db.namespace too. No metric has a key,
// a value or the text of an error, and no span unless [WithDetails] says so.
//
// A hook hears only of watches and locks that begin after it was added. Remove it, or the
// wrapper, only when none is left: the metrics keep counting those as running or held.
package kvdbotel

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/wrappers"
)

const (
	// Wrapper is the name of the wrapper that adds a hook with the global providers to an
	// instance.
	Wrapper = kvdb.WrapperName("Wrapper_OpenTelemetry")
	// ScopeName is the name of the instrumentation scope of all metrics and spans.
	ScopeName = "github.com/portworx/kvdb/plugin/kvdbotel"

	// schemaURL says which version of the semantic conventions the names follow.
	schemaURL = "https://opentelemetry.io/schemas/1.43.0"
)

func init() {
	if err := kvdb.RegisterWrapper(Wrapper, wrap); err != nil {
		panic(fmt.Sprintf("kvdb wrapper %s: %v", Wrapper, err))
	}
	kvdb.RegisterOptions(string(Wrapper))
}

// wrap returns a wrapper around kv that adds a hook with the global providers.
func wrap(kv kvdb.Kvdb, _ map[string]string) (kvdb.Kvdb, error) {
	hook, err := New()
	if err != nil {
		return nil, err
	}
	return wrappers.NewHookWrapper(Wrapper, kv, hook)
}

// Option is an option of [New].
type Option func(*config)

// config has what options set.
type config struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
	details bool
}

// WithMeterProvider sets where metrics go. The default is [otel.GetMeterProvider]. With nil
// there are none.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithTracerProvider sets where spans go. The default is [otel.GetTracerProvider]. With nil
// there are none, and an operation allocates nothing.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithDetails adds the key, as kvdb.key, and the text of an error, which may contain a key,
// to spans.
func WithDetails() Option { return func(c *config) { c.details = true } }

// New returns a hook. The global providers may also be set after it was called.
func New(options ...Option) (*Hook, error) {
	c := config{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider()}
	for _, o := range options {
		o(&c)
	}
	if c.meters == nil {
		c.meters = noop.NewMeterProvider()
	}
	h := &Hook{details: c.details}
	if c.tracers != nil {
		h.tracer = c.tracers.Tracer(ScopeName, trace.WithSchemaURL(schemaURL))
	}
	h.makeTables()
	if err := h.makeInstruments(c.meters.Meter(ScopeName, metric.WithSchemaURL(schemaURL))); err != nil {
		return nil, fmt.Errorf("make the metrics of kvdb: %w", err)
	}
	return h, nil
}

// makeInstruments makes the instruments of the metrics.
func (h *Hook) makeInstruments(meter metric.Meter) error {
	var errs []error
	seconds := func(name, what string, buckets ...float64) metric.Float64Histogram {
		i, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(what), metric.WithExplicitBucketBoundaries(buckets...))
		errs = append(errs, err)
		return i
	}
	counter := func(name, unit, what string) metric.Int64Counter {
		i, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(what))
		errs = append(errs, err)
		return i
	}
	upDown := func(name, unit, what string) metric.Int64UpDownCounter {
		i, err := meter.Int64UpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(what))
		errs = append(errs, err)
		return i
	}
	h.duration = seconds("db.client.operation.duration", "Duration of database client operations.",
		.001, .005, .01, .05, .1, .5, 1, 5, 10) // of the conventions
	h.attempts = counter("kvdb.attempts", "{attempt}", "Attempts at requests to servers.")
	h.connections = upDown("kvdb.connections", "{connection}", "Connections to servers.")

	h.lockWait = seconds("kvdb.lock.wait.duration", "Time that calls waited for a lock, obtained or not.", .001, .01, .1, .5, 1, 5, 15, 60, 300)
	h.lockHold = seconds("kvdb.lock.hold.duration", "Time that locks were held, until they were released or lost.",
		.01, .1, 1, 10, 60, 300, 1800, 7200, 86400)
	h.locksHeld = upDown("kvdb.lock.held", "{lock}", "Locks that are held.")
	h.locksLost = counter("kvdb.lock.lost", "{lock}", "Locks that were lost.")

	h.watches = upDown("kvdb.watch.active", "{watch}", "Watches that run.")
	h.events = counter("kvdb.watch.events", "{event}", "Events that were delivered to the callbacks of watches.")
	h.interruptions = counter("kvdb.watch.interruptions", "{interruption}", "Interruptions of watches.")
	h.queued = upDown("kvdb.watch.queue", "{event}", "Events that wait for the callbacks of watches.")
	h.callbacks = seconds("kvdb.watch.callback.duration", "Time that the callbacks of watches took for an event.",
		.0001, .001, .01, .1, .5, 1, 5, 30)
	return errors.Join(errs...)
}
