// Package kvdbprom has a hook that counts and measures what instances of kvdb do, as metrics
// for Prometheus.
//
// A program that imports the package turns it on by an option, with the registerer
// [prometheus.DefaultRegisterer]:
//
//	options := map[string]string{kvdb.WrappersOption: string(kvdbprom.Wrapper)}
//	kv, err := kvdb.New("etcdv3-kv", "my/app", endpoints, options, nil)
//
// Or it gives a hook of its own registerer to [kvdb.AddHooks] or [kvdb.Config]:
//
//	hook, err := kvdbprom.New(registry)
//	kv, err := kvdb.Open(ctx, kvdb.Config{Backend: "etcdv3-kv", Hooks: []kvdb.Hook{hook}})
//
// # Metrics
//
//	kvdb_operation_duration_seconds{backend,operation,outcome}  histogram
//	kvdb_attempts_total{endpoint,fate}                          requests to servers
//	kvdb_connections                                            connections to servers
//	kvdb_lock_wait_seconds                                      histogram, obtained or not
//	kvdb_lock_hold_seconds                                      histogram, released or lost
//	kvdb_locks_held                                             locks held now
//	kvdb_locks_lost_total{reason}
//	kvdb_watches                                                watches that run
//	kvdb_watch_events_total{action}                             events delivered
//	kvdb_watch_interruptions_total{reason}
//	kvdb_watch_queue                                            events that wait for callbacks
//	kvdb_watch_callback_seconds                                 histogram
//	kvdb_tx_conflicts_total                                     commits that were ErrModified
//
// All instances of a registerer share them. No label has a key, a value or the text of an
// error. Those of operations and outcomes are the names in [kvdb.Operation] and
// [kvdb.Outcome], fates those in [kvdb.Fate], and reasons of lost locks constants such as
// [kvdb.LockExpired]. An interruption's reason is "no_connection", "denied", "error", or
// "unknown" if the cause is not known.
//
// A hook hears only of watches and locks that begin after it was added. Remove it, or the
// wrapper, only when none is left: the gauges keep counting those.
//
// The folder mixin has a dashboard for Grafana, and alert rules.
package kvdbprom

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/wrappers"
)

// Wrapper is the name of the wrapper that adds the hook of [prometheus.DefaultRegisterer] to
// an instance.
const Wrapper = kvdb.WrapperName("Wrapper_Prometheus")

func init() {
	if err := kvdb.RegisterWrapper(Wrapper, wrap); err != nil {
		panic(fmt.Sprintf("kvdb wrapper %s: %v", Wrapper, err))
	}
	kvdb.RegisterOptions(string(Wrapper))
}

// wrap returns a wrapper around kv that adds the hook of the default registerer.
func wrap(kv kvdb.Kvdb, _ map[string]string) (kvdb.Kvdb, error) {
	hook, err := New(prometheus.DefaultRegisterer)
	if err != nil {
		return nil, err
	}
	return wrappers.NewHookWrapper(Wrapper, kv, hook)
}

// Option is an option of [New].
type Option func(*config)

// config has what options set.
type config struct{ operationBuckets []float64 }

// WithOperationBuckets sets the upper bounds of the buckets of
// kvdb_operation_duration_seconds, in seconds and in increasing order. The default is 15
// buckets from 0.5 ms to 30 s.
func WithOperationBuckets(buckets ...float64) Option {
	return func(c *config) { c.operationBuckets = buckets }
}

// New returns a hook whose metrics are registered with registerer. If registerer has a hook
// already, New returns that one, whose options stay as they are. A nil registerer registers
// nothing; the hook is a [prometheus.Collector], which a program can register on its own.
// The error of an option that is not valid wraps [kvdb.ErrIllegal].
func New(registerer prometheus.Registerer, options ...Option) (*Hook, error) {
	c := config{operationBuckets: operationBuckets}
	for _, o := range options {
		o(&c)
	}
	if !isIncreasing(c.operationBuckets) {
		return nil, fmt.Errorf("%w: buckets %v are not in increasing order", kvdb.ErrIllegal, c.operationBuckets)
	}
	hook := newHook(c)
	if registerer == nil {
		return hook, nil
	}
	err := registerer.Register(hook)
	var registered prometheus.AlreadyRegisteredError
	if errors.As(err, &registered) {
		if existing, ok := registered.ExistingCollector.(*Hook); ok {
			return existing, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("register the metrics of kvdb: %w", err)
	}
	return hook, nil
}

// isIncreasing reports whether each bound is larger than the one before it.
func isIncreasing(bounds []float64) bool {
	for i := 1; i < len(bounds); i++ {
		if !(bounds[i] > bounds[i-1]) {
			return false
		}
	}
	return true
}
