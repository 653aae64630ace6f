package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/portworx/kvdb/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSuitesRun runs each operation of the small suites, to check that it succeeds.
func TestSuitesRun(t *testing.T) {
	m := measurer{rounds: 2, slice: time.Nanosecond, least: 1}
	for _, s := range suites() {
		if strings.Contains(s.name, "00 k") || strings.Contains(s.name, "M") {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			results, err := runSuite(t.Context(), s, m)
			if missing := (*servers.MissingError)(nil); errors.As(err, &missing) && os.Getenv("CI") == "" {
				t.Skipf("NOT RUN: %v", err)
			}
			require.NoError(t, err)
			require.NotEmpty(t, results)
			var table strings.Builder
			require.NoError(t, report(&table, results, m, time.Second))
			for _, r := range results {
				require.Positive(t, r.ratio, r.operation)
				require.Contains(t, table.String(), r.operation)
			}
		})
	}
}

func TestMeasureComparesTheSides(t *testing.T) {
	spin := func(d time.Duration) work {
		return each(func(int) error {
			for began := time.Now(); time.Since(began) < d; {
			}
			return nil
		})
	}
	m := measurer{rounds: 3, slice: time.Microsecond, least: 1}
	r, err := m.measure(t.Context(), row{raw: spin(10 * time.Microsecond), ours: spin(200 * time.Microsecond)})
	require.NoError(t, err)
	require.GreaterOrEqual(t, r.cost.ns, 200e3)
	require.GreaterOrEqual(t, r.rawCost.ns, 10e3)
	require.LessOrEqual(t, r.low, r.ratio)
	require.LessOrEqual(t, r.ratio, r.high)
}

func TestMeasureReportsAnError(t *testing.T) {
	broken := errors.New("broken")
	fails := func(int) error { return broken }
	works := each(func(int) error { return nil })
	m := measurer{rounds: 1, slice: time.Nanosecond, least: 1}
	for name, r := range map[string]row{
		"one after the other": {raw: works, ours: each(fails)},
		"parallel":            {raw: works, ours: parallel(4, fails)},
		"raw":                 {raw: each(fails), ours: works},
	} {
		_, err := m.measure(t.Context(), r)
		require.ErrorIs(t, err, broken, name)
	}
}

func TestInterruptedSuiteLeavesNothing(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range []suite{boltSuites()[0], wrapperSuites()[0]} {
		_, err := runSuite(ctx, s, measurer{rounds: 1, slice: time.Nanosecond, least: 1})
		require.ErrorIs(t, err, context.Canceled, s.name)
	}
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestParallelDoesEachOperationOnce(t *testing.T) {
	const n = 1000
	var done [n]bool // each element is written by one goroutine
	require.NoError(t, parallel(64, func(i int) error {
		if done[i] {
			return errors.New("done twice")
		}
		done[i] = true
		return nil
	})(n))
	for i := range done {
		require.True(t, done[i], i)
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	require.Equal(t, 3.0, quantile(values, 0.5))
	require.Equal(t, 2.0, quantile(values, 0.25))
	require.Equal(t, 4.0, quantile(values, 0.75))
	require.Equal(t, 7.0, quantile([]float64{7}, 0.75))
}
