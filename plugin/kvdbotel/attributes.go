package kvdbotel

import (
	"net"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/series"
)

// Names of attributes. Those that do not begin with kvdb are of the semantic conventions.
const (
	systemName    = "db.system.name"
	namespace     = "db.namespace"
	operationName = "db.operation.name"
	errorType     = "error.type"
	serverAddress = "server.address"
	serverPort    = "server.port"

	outcomeName     = "kvdb.outcome"
	keyName         = "kvdb.key"
	attemptEvent    = "kvdb.attempt"
	attemptNumber   = "kvdb.attempt.number"
	attemptFate     = "kvdb.attempt.fate"
	attemptDuration = "kvdb.attempt.duration"
	attemptError    = "kvdb.attempt.error"
	lossReason      = "kvdb.lock.loss.reason"
	watchAction     = "kvdb.watch.action"
)

// systems are the names of the systems behind backends.
var systems = map[string]string{
	"etcdv3-kv": "etcd", "etcd-kv": "etcd", "consul-kv": "consul", "zookeeper-kv": "zookeeper", "bolt-kv": "bbolt",
}

// Keys of tables.
type (
	// source is an instance, or several with the same domain.
	source struct{ backend, domain string }
	// call is an operation of an instance.
	call struct {
		source
		name string
	}
	// result is the outcome of a call.
	result struct {
		call
		outcome kvdb.Outcome
	}
	// server is an endpoint of a backend.
	server struct{ backend, endpoint string }
	// attempt is the fate of an attempt.
	attempt struct {
		server
		fate kvdb.Fate
	}
	// event is what has happened at a source: the reason of an interruption or a loss, or
	// the action of an event.
	event struct {
		source
		attribute, value string
	}
)

// options are the attributes of a measurement, as an option of it. They are made once, so
// that a measurement allocates nothing.
type options struct {
	record []metric.RecordOption
	add    []metric.AddOption
}

func optionsOf(attributes []attribute.KeyValue) options {
	set := metric.WithAttributeSet(attribute.NewSet(attributes...))
	return options{[]metric.RecordOption{set}, []metric.AddOption{set}}
}

// spanStart is how the span of a call starts.
type spanStart struct {
	name    string
	options []trace.SpanStartOption
}

// makeTables makes the tables of attributes.
func (h *Hook) makeTables() {
	h.starts = series.NewTable(func(c call) spanStart {
		name := c.name
		if c.domain != "" {
			name += " " + c.domain
		}
		return spanStart{name, []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(c.attributes()...),
		}}
	})
	h.results = series.NewTable(func(r result) options {
		attributes := r.attributes()
		if !r.outcome.IsAnswer() {
			attributes = append(attributes, attribute.String(errorType, string(r.outcome)))
		}
		return optionsOf(attributes)
	})
	h.servers = series.NewTable(server.attributes)
	h.peers = series.NewTable(func(s server) options { return optionsOf(append(s.attributes(), system(s.backend))) })
	h.fates = series.NewTable(func(a attempt) options {
		return optionsOf(append(a.attributes(), system(a.backend), attribute.String(attemptFate, string(a.fate))))
	})
	h.sources = series.NewTable(func(s source) options { return optionsOf(s.attributes()) })
	h.happened = series.NewTable(func(e event) options {
		return optionsOf(append(e.attributes(), attribute.String(e.attribute, e.value)))
	})
}

// system is the attribute of the system behind a backend.
func system(backend string) attribute.KeyValue {
	if name, ok := systems[backend]; ok {
		backend = name
	}
	return attribute.String(systemName, backend)
}

func (s source) attributes() []attribute.KeyValue {
	attributes := []attribute.KeyValue{system(s.backend)}
	if s.domain != "" {
		attributes = append(attributes, attribute.String(namespace, s.domain))
	}
	return attributes
}

func (c call) attributes() []attribute.KeyValue {
	return append(c.source.attributes(), attribute.String(operationName, c.name))
}

// attributes returns none if no server was chosen.
func (s server) attributes() []attribute.KeyValue {
	if s.endpoint == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s.endpoint)
	if err != nil {
		return []attribute.KeyValue{attribute.String(serverAddress, s.endpoint)}
	}
	attributes := []attribute.KeyValue{attribute.String(serverAddress, host)}
	if number, err := strconv.Atoi(port); err == nil {
		attributes = append(attributes, attribute.Int(serverPort, number))
	}
	return attributes
}
