package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// report writes the table and the environment as Markdown.
func report(w io.Writer, results []result, m measurer, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

Written by `+"`make bench`"+` on %s: %s, %s/%s, %s, %d cores, load %s; %d rounds in %v.

Raw is the reference doing the same work in the same process, in turns with kvdb. Times are medians for one operation.
The ratio is the median over the rounds of kvdb's time by raw's, with its quartiles: below 1 kvdb is faster. Times
depend on the machine and on what else it does; ratios much less. Values have %d bytes. Requests are those that the
server has received for one operation, by its own count, signs of life included.
`, time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.GOOS, runtime.GOARCH, cpu(),
		runtime.GOMAXPROCS(0), load(), m.rounds, took.Round(time.Second), valueSize)
	suite := ""
	for _, r := range results {
		if r.suite != suite {
			suite = r.suite
			head, line := "", ""
			if r.requests != nil {
				head, line = " requests raw, kvdb |", "--:|"
			}
			fmt.Fprintf(&b, "\n## %s\n\n", suite)
			b.WriteString("| operation | raw is | raw | kvdb | ratio | goal | allocations raw, kvdb |" + head + "\n")
			b.WriteString("|---|---|--:|--:|--:|---|--:|" + line + "\n")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.2f (%.2f–%.2f) | %s | %.0f, %.0f |",
			r.operation, r.reference, duration(r.rawCost.ns), duration(r.cost.ns),
			r.ratio, r.low, r.high, r.goal, r.rawCost.allocs, r.cost.allocs)
		if r.requests != nil {
			fmt.Fprintf(&b, " %s, %s |", tenths(r.requests.raw), tenths(r.requests.ours))
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tenths formats a number with one digit after the point, without that digit if it is 0.
func tenths(n float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0") }

// duration formats a time in ns with three digits.
func duration(ns float64) string {
	for _, unit := range []struct {
		name string
		ns   float64
	}{{"ms", 1e6}, {"µs", 1e3}} {
		if ns >= unit.ns {
			return fmt.Sprintf("%.3g %s", ns/unit.ns, unit.name)
		}
	}
	return fmt.Sprintf("%.3g ns", ns)
}

// cpu returns the name of the processor, or "" if the system does not provide it.
func cpu() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

// load returns the load average of the last 15 minutes, or "" if the system does not
// provide it. If it is larger than the number of cores, the machine was busy.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 2 {
		return fields[2]
	}
	return "unknown"
}
