// Bench measures kvdb against the raw clients of the stores and prints one table. Both
// sides do the same work in the same run, alternately, so that a busy machine slows down
// both: the ratio counts, not the times.
//
//	go run ./internal/testing/bench [-o file] [-rounds n] [-slice duration] [-only regexp]
//
// A suite is a store in some state; a file of this package has the suites of
// one backend.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"slices"
	"syscall"
	"time"
)

// work does n operations of one kind.
type work func(n int) error

// row is one line of the table.
type row struct {
	operation string
	reference string // the operations of the raw client
	goal      string // of the ratio, or of our side
	raw, ours work
}

// suite has rows that share a store.
type suite struct {
	name string
	// open prepares the store. close releases it.
	open func(*env) (rows []row, close func() error, err error)
}

func suites() []suite {
	return slices.Concat(memSuites(), boltSuites(), etcdSuites(), etcdV2Suites(), consulSuites(), zookeeperSuites(), manySuites(), wrapperSuites())
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	output := flag.String("o", "", "`file` to write the table to, besides the standard output")
	rounds := flag.Int("rounds", 51, "`number` of times each side is measured")
	slice := flag.Duration("slice", 20*time.Millisecond, "about how long a measurement takes")
	only := flag.String("only", "", "measure the suites whose name matches this `regexp`")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	m := measurer{rounds: max(*rounds, 1), slice: *slice, least: 64}
	began := time.Now()
	var results []result
	for _, s := range suites() {
		if !pattern.MatchString(s.name) {
			continue
		}
		of, err := runSuite(ctx, s, m)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		results = append(results, of...)
	}
	w := io.Writer(os.Stdout)
	if *output != "" {
		file, err := os.Create(*output)
		if err != nil {
			return err
		}
		defer file.Close()
		w = io.MultiWriter(w, file)
	}
	return report(w, results, m, time.Since(began))
}

// runSuite measures the rows of s, and closes s. If ctx ends, it returns an error.
func runSuite(ctx context.Context, s suite, m measurer) (results []result, err error) {
	dir, err := os.MkdirTemp("", "kvdb-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	e := &env{dir: dir}
	var stop context.CancelFunc
	e.ctx, stop = context.WithCancel(ctx)
	defer stop()
	rows, closeSuite, err := s.open(e)
	if err != nil {
		return nil, err
	}
	defer func() {
		stop()
		e.waiting.Wait()
		if closeErr := closeSuite(); err == nil {
			err = closeErr
		}
		rows = nil
		debug.FreeOSMemory() // the next suite begins with an empty heap
	}()
	m.slice *= time.Duration(max(e.longer, 1))
	for _, r := range rows {
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, r.operation)
		measured, err := m.measure(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.operation, err)
		}
		measured.suite = s.name
		if measured.requests, err = e.count(ctx, r, m.least); err != nil {
			return nil, fmt.Errorf("%s: %w", r.operation, err)
		}
		results = append(results, measured)
	}
	return results, nil
}
