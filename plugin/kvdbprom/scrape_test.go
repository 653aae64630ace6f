package kvdbprom_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/portworx/kvdb/plugin/kvdbprom"
)

// scrape returns what Prometheus gets.
func scrape(t *testing.T, registry *prometheus.Registry) string {
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	server.Client().CloseIdleConnections()
	return string(text)
}

// metricNames are all metrics.
var metricNames = []string{
	"kvdb_operation_duration_seconds", "kvdb_attempts_total", "kvdb_connections", "kvdb_lock_wait_seconds",
	"kvdb_lock_hold_seconds", "kvdb_locks_held", "kvdb_locks_lost_total", "kvdb_watches", "kvdb_watch_events_total",
	"kvdb_watch_interruptions_total", "kvdb_watch_queue", "kvdb_watch_callback_seconds", "kvdb_tx_conflicts_total",
}

// The linter of Prometheus finds nothing to criticise in a scrape. It has all metrics, and no
// key, owner or text of an error.
func TestScrape(t *testing.T) {
	hook, registry := newHook(t)
	hot(hook)
	hook.OnRequest(t.Context(), kvdb.Request{Endpoint: "a:1", Fate: kvdb.FateRefused, Err: errIO})
	hook.OnConnectionLost("b", "a:1", errIO)
	hook.OnWatchInterrupted(watch, errIO)
	hook.OnWatchEnd(watch, kvdb.ErrWatchStopped, errIO)
	hook.OnLockNotObtained(lock, time.Second, errIO)
	hook.OnLockLost(lock, time.Second, kvdb.LockRemoved)
	text := scrape(t, registry)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	var got []string
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			got = append(got, strings.Fields(name)[0])
		}
	}
	require.ElementsMatch(t, metricNames, got)
	for _, secret := range []string{"the-key", "the-owner", "the-error"} {
		require.NotContains(t, text, secret)
	}
}

// use puts a key, waits until a watch has seen it, and holds a lock meanwhile.
func use(t *testing.T, kv kvdb.Kvdb) {
	t.Helper()
	pair, err := kv.Lock("lock")
	require.NoError(t, err)
	watch, err := kvdb.Events(t.Context(), kv, "tree", 0)
	require.NoError(t, err)
	_, err = kv.Put("tree/key", "value", 0)
	require.NoError(t, err)
	for event, err := range watch {
		require.NoError(t, err)
		require.Equal(t, "tree/key", event.Key)
		break
	}
	_, err = kv.Get("missing")
	require.ErrorIs(t, err, kvdb.ErrNotFound)
	require.NoError(t, kv.Unlock(pair))
}

// The option alone is enough. Instances share the metrics of the default registerer.
func TestWrappersOption(t *testing.T) {
	options := map[string]string{kvdb.WrappersOption: string(kvdbprom.Wrapper)}
	before := map[string]float64{}
	for i := range 2 {
		kv, err := kvdb.New(mem.Name, "d", nil, options, nil)
		require.NoError(t, err)
		require.Equal(t, kvdbprom.Wrapper, kv.WrapperName())
		if i == 0 {
			before = values(t, prometheus.DefaultGatherer, "kvdb_watch_events_total")
		}
		use(t, kv)
		require.NoError(t, kvdb.Close(kv))
	}
	got := values(t, prometheus.DefaultGatherer, "kvdb_watch_events_total")
	require.Equal(t, 2.0, got["action=create"]-before["action=create"])
	operations := values(t, prometheus.DefaultGatherer, "kvdb_operation_duration_seconds")
	require.GreaterOrEqual(t, operations["backend=kv-mem operation=put outcome=ok"], 2.0)
	require.GreaterOrEqual(t, operations["backend=kv-mem operation=get outcome=not_found"], 2.0)
	for _, gauge := range []string{"kvdb_watches", "kvdb_locks_held", "kvdb_watch_queue"} {
		require.Zero(t, value(t, prometheus.DefaultGatherer, gauge), gauge)
	}
	require.GreaterOrEqual(t, value(t, prometheus.DefaultGatherer, "kvdb_lock_hold_seconds"), 2.0)
}
