package main

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
)

// measurer measures the two sides of a row alternately.
type measurer struct {
	rounds int
	slice  time.Duration // about how long a measurement takes
	least  int           // the minimum number of operations in a measurement
}

// sample is the cost of one operation.
type sample struct{ ns, allocs float64 }

// result has the medians of a row's samples. ratio is the median of the ratios of the
// rounds, and low and high are their quartiles.
type result struct {
	row
	suite            string
	rawCost, cost    sample
	ratio, low, high float64
	requests         *requests // nil for a store without a server
}

func (m measurer) measure(ctx context.Context, r row) (result, error) {
	rawN, err := m.calibrate(r.raw)
	if err != nil {
		return result{}, err
	}
	oursN, err := m.calibrate(r.ours)
	if err != nil {
		return result{}, err
	}
	var raws, ours []sample
	for round := range m.rounds {
		if ctx.Err() != nil {
			return result{}, ctx.Err()
		}
		// The first turn alternates: A B, B A, A B, …
		for turn := range 2 {
			if (round+turn)%2 == 0 {
				raws, err = add(raws, r.raw, rawN)
			} else {
				ours, err = add(ours, r.ours, oursN)
			}
			if err != nil {
				return result{}, err
			}
		}
	}
	ratios := make([]float64, m.rounds)
	for i := range ratios {
		ratios[i] = ours[i].ns / raws[i].ns
	}
	return result{
		row: r, rawCost: medians(raws), cost: medians(ours),
		ratio: quantile(ratios, 0.5), low: quantile(ratios, 0.25), high: quantile(ratios, 0.75),
	}, nil
}

// calibrate returns the number of operations that take about m.slice, and warms up. It
// repeats a measurement before it accepts that a number takes too long.
func (m measurer) calibrate(w work) (int, error) {
	for n := m.least; ; n *= 2 {
		best := time.Duration(math.MaxInt64)
		for range 2 {
			began := time.Now()
			if err := w(n); err != nil {
				return 0, err
			}
			best = min(best, time.Since(began))
		}
		if best >= m.slice/2 {
			return max(m.least, int(float64(n)*float64(m.slice)/float64(best))), nil
		}
	}
}

// add appends a sample of n operations to samples.
func add(samples []sample, w work, n int) ([]sample, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	err := w(n)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return append(samples, sample{
		ns:     float64(took.Nanoseconds()) / float64(n),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
	}), err
}

func medians(samples []sample) sample {
	ns, allocs := make([]float64, len(samples)), make([]float64, len(samples))
	for i, s := range samples {
		ns[i], allocs[i] = s.ns, s.allocs
	}
	return sample{quantile(ns, 0.5), quantile(allocs, 0.5)}
}

func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// each returns work that runs one operation after the other. i grows with each call.
func each(do func(i int) error) work {
	i := 0
	return func(n int) error {
		for range n {
			if err := do(i); err != nil {
				return err
			}
			i++
		}
		return nil
	}
}

// parallel returns work whose operations are shared by goroutines.
func parallel(goroutines int, do func(i int) error) work {
	return func(n int) error {
		errs := make([]error, goroutines)
		var wait sync.WaitGroup
		for g := range goroutines {
			wait.Go(func() {
				for i := g; i < n && errs[g] == nil; i += goroutines {
					errs[g] = do(i)
				}
			})
		}
		wait.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	}
}
