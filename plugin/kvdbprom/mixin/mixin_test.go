package mixin

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/plugin/kvdbprom"
)

var promQL = parser.NewParser(parser.Options{})

// metrics returns the label names of all series of the hook, by the names of the series.
func metrics(t *testing.T) map[string][]string {
	hook, err := kvdbprom.New(nil)
	require.NoError(t, err)
	descriptions := make(chan *prometheus.Desc, 100)
	hook.Describe(descriptions)
	close(descriptions)
	series := map[string][]string{}
	pattern := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: {(.*)}}`)
	for d := range descriptions {
		parts := pattern.FindStringSubmatch(d.String())
		require.NotNil(t, parts, d)
		name := parts[1]
		of := append(strings.Split(parts[2], ","), "job", "instance")
		if strings.HasSuffix(name, "_seconds") {
			series[name+"_bucket"] = append(of, "le")
			series[name+"_count"], series[name+"_sum"] = of, of
		} else {
			series[name] = of
		}
	}
	require.Greater(t, len(series), 10)
	return series
}

// known are the values that a label can have, if they are a fixed set.
var known = map[string][]string{
	"fate": {string(kvdb.FateAnswered), string(kvdb.FateRefused), string(kvdb.FateNotRun), string(kvdb.FatePerhaps)},
	"outcome": {
		string(kvdb.OutcomeOK), string(kvdb.OutcomeNotFound), string(kvdb.OutcomeExists), string(kvdb.OutcomeModified),
		string(kvdb.OutcomeValueMismatch), string(kvdb.OutcomeLocked), string(kvdb.OutcomeIllegal), string(kvdb.OutcomeDenied),
		string(kvdb.OutcomeNoConnection), string(kvdb.OutcomeUnknown), string(kvdb.OutcomeCanceled), string(kvdb.OutcomeError),
	},
	"reason":    {kvdb.LockExpired, kvdb.LockRemoved, kvdb.LockClosed, kvdb.LockLostUnknown},
	"operation": {"lock", "commit"},
}

// check returns an error if a query is not valid or names a metric, a label or a value that
// does not exist. It adds the series that the query uses to used.
func check(query string, series map[string][]string, used map[string]bool) error {
	query = strings.NewReplacer("$__rate_interval", "5m", "$job", "x", "$instance", "x").Replace(query)
	expression, err := promQL.ParseExpr(query)
	if err != nil {
		return err
	}
	names := []string{"job", "instance", "le"} // labels that the selected series have
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		used[selector.Name] = true
		if series[selector.Name] == nil {
			err = fmt.Errorf("%s: there is no metric %q", query, selector.Name)
			return nil
		}
		names = append(names, series[selector.Name]...)
		for _, m := range selector.LabelMatchers {
			if m.Name != model.MetricNameLabel && !slices.Contains(series[selector.Name], m.Name) {
				err = fmt.Errorf("%s: %s has no label %q", query, selector.Name, m.Name)
			}
			for value := range strings.SplitSeq(m.Value, "|") {
				if values := known[m.Name]; values != nil && !slices.Contains(values, value) {
					err = fmt.Errorf("%s: the label %s has no value %q", query, m.Name, value)
				}
			}
		}
		return nil
	})
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if aggregate, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range aggregate.Grouping {
				if !slices.Contains(names, label) {
					err = fmt.Errorf("%s: no metric has the label %q", query, label)
				}
			}
		}
		return nil
	})
	return err
}

// The check of queries finds mistakes.
func TestCheck(t *testing.T) {
	series := metrics(t)
	for query, want := range map[string]string{
		`sum(`:                "parse error",
		`kvdb_connection`:     `no metric "kvdb_connection"`,
		`kvdb_locks_lost`:     `no metric "kvdb_locks_lost"`,
		`kvdb_watches{x="y"}`: `no label "x"`,
		`kvdb_attempts_total{fate=~"answered|lost"}`: `no value "lost"`,
		`sum by (endpoint) (kvdb_watches)`:           `no metric has the label "endpoint"`,
	} {
		require.ErrorContains(t, check(query, series, map[string]bool{}), want)
	}
}

// Each panel of the dashboard has a query of metrics that exist, and all metrics are in it.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	var dashboard struct {
		Title, UID string
		Panels     []struct {
			ID                       int
			Type, Title, Description string
			Targets                  []struct{ Expr, LegendFormat string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	require.Equal(t, "kvdb", dashboard.Title)
	series, used, ids := metrics(t), map[string]bool{}, map[int]bool{}
	for _, panel := range dashboard.Panels {
		require.False(t, ids[panel.ID], panel.Title)
		ids[panel.ID] = true
		if panel.Type == "row" {
			continue
		}
		require.NotEmpty(t, panel.Targets, panel.Title)
		require.NotEmpty(t, panel.Description, panel.Title)
		for _, target := range panel.Targets {
			require.NoError(t, check(target.Expr, series, used), panel.Title)
		}
	}
	for name := range series {
		base := strings.NewReplacer("_bucket", "", "_count", "", "_sum", "").Replace(name)
		require.True(t, used[name] || used[base+"_bucket"] || used[base+"_count"], "the dashboard does not show %s", name)
	}
}

// rules returns the alert rules.
func rules(t *testing.T) []rulefmt.Rule {
	groups, errs := rulefmt.ParseFile("alerts.yaml", false, model.UTF8Validation, promQL, slog.New(slog.NewTextHandler(t.Output(), nil)))
	require.Empty(t, errs)
	require.Len(t, groups.Groups, 1)
	return groups.Groups[0].Rules
}

// Prometheus accepts the alert rules. They use metrics that exist, and say what is wrong.
func TestAlerts(t *testing.T) {
	series := metrics(t)
	for _, rule := range rules(t) {
		require.NoError(t, check(rule.Expr, series, map[string]bool{}), rule.Alert)
		require.NotEmpty(t, rule.Labels["severity"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["description"], rule.Alert)
	}
}

// healthy is a program that works: 1 of 100 operations fails, its watches were interrupted
// once, it has closed an instance with a lock, and some of its transactions conflict.
const healthy = `kvdb_attempts_total{job="j",instance="i",endpoint="a:1",fate="answered"} 0+100x40
kvdb_attempts_total{job="j",instance="i",endpoint="a:1",fate="not_run"} 0+1x40
kvdb_operation_duration_seconds_count{job="j",instance="i",backend="b",operation="get",outcome="ok"} 0+99x40
kvdb_operation_duration_seconds_count{job="j",instance="i",backend="b",operation="get",outcome="no_connection"} 0+1x40
kvdb_operation_duration_seconds_count{job="j",instance="i",backend="b",operation="commit",outcome="ok"} 0+9x40
kvdb_operation_duration_seconds_bucket{job="j",instance="i",backend="b",operation="get",outcome="ok",le="0.5"} 0+100x40
kvdb_operation_duration_seconds_bucket{job="j",instance="i",backend="b",operation="get",outcome="ok",le="+Inf"} 0+100x40
kvdb_operation_duration_seconds_bucket{job="j",instance="i",backend="b",operation="lock",outcome="ok",le="0.5"} 0x40
kvdb_operation_duration_seconds_bucket{job="j",instance="i",backend="b",operation="lock",outcome="ok",le="+Inf"} 0+10x40
kvdb_tx_conflicts_total{job="j",instance="i"} 0+2x40
kvdb_locks_lost_total{job="j",instance="i",reason="closed"} 0x30 1x10
kvdb_watches{job="j",instance="i"} 2x40
kvdb_watch_interruptions_total{job="j",instance="i",reason="no_connection"} 0x30 2x10
kvdb_watch_queue{job="j",instance="i"} 10x40
`

// sick has, for each alert, series that replace those of healthy and make it fire.
var sick = map[string][]string{
	"KvdbStoreUnreachable": {`kvdb_attempts_total{job="j",instance="i",endpoint="a:1",fate="answered"} 0+100x30 3000x10`},
	"KvdbOperationsFail": {
		`kvdb_operation_duration_seconds_count{job="j",instance="i",backend="b",operation="get",outcome="no_connection"} 0+9x40`},
	"KvdbDenied": {`kvdb_operation_duration_seconds_count{job="j",instance="i",backend="b",operation="put",outcome="denied"} 0+1x40`},
	"KvdbSlow": {
		`kvdb_operation_duration_seconds_bucket{job="j",instance="i",backend="b",operation="put",outcome="ok",le="1"} 0x40`,
		`kvdb_operation_duration_seconds_bucket{job="j",instance="i",backend="b",operation="put",outcome="ok",le="5"} 0+10x40`,
		`kvdb_operation_duration_seconds_bucket{job="j",instance="i",backend="b",operation="put",outcome="ok",le="+Inf"} 0+10x40`},
	"KvdbLockLost":             {`kvdb_locks_lost_total{job="j",instance="i",reason="expired"} 0x35 1x5`},
	"KvdbWatchBehind":          {`kvdb_watch_queue{job="j",instance="i"} 5000x40`},
	"KvdbWatchesInterrupted":   {`kvdb_watch_interruptions_total{job="j",instance="i",reason="no_connection"} 0+1x40`},
	"KvdbTransactionsConflict": {`kvdb_tx_conflicts_total{job="j",instance="i"} 0+7x40`},
}

// No alert fires for a healthy program, and each fires for one that has its trouble.
func TestAlertsFire(t *testing.T) {
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 10_000, Timeout: time.Minute, Parser: promQL})
	defer func() { require.NoError(t, engine.Close()) }()
	fires := func(rule rulefmt.Rule, lines string) bool {
		series, err := parseSeries(lines)
		require.NoError(t, err, lines)
		query, err := engine.NewInstantQuery(t.Context(), stored(series), nil, rule.Expr, time.Unix(0, 0).Add(20*time.Minute))
		require.NoError(t, err)
		defer query.Close()
		result := query.Exec(t.Context())
		require.NoError(t, result.Err, rule.Alert)
		vector, err := result.Vector()
		require.NoError(t, err, rule.Alert)
		return len(vector) > 0
	}
	all := rules(t)
	require.Len(t, all, len(sick))
	for _, rule := range all {
		require.False(t, fires(rule, healthy), "%s of a healthy program", rule.Alert)
		require.NotEmpty(t, sick[rule.Alert], rule.Alert)
		lines := healthy
		for _, line := range sick[rule.Alert] {
			series, _, _ := strings.Cut(line, " ")
			lines = regexp.MustCompile(regexp.QuoteMeta(series)+` .*\n`).ReplaceAllString(lines, "") + line + "\n"
		}
		require.True(t, fires(rule, lines), rule.Alert)
	}
}
