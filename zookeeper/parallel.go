package zookeeper

import (
	"cmp"
	"context"
	"sync"

	"github.com/portworx/kvdb/driver"
)

// pipeline is how many requests are sent before the first one is answered.
const pipeline = 64

// parallel calls f with 0 to n-1, up to pipeline at a time, until a call fails or ctx ends. It
// returns the first error.
func parallel(ctx context.Context, n int, f func(i int) error) error {
	var mu sync.Mutex // protects next and failure
	next, failure := 0, error(nil)
	take := func(err error) int {
		mu.Lock()
		defer mu.Unlock()
		if failure = cmp.Or(failure, err, driver.WithCause(ctx, nil)); failure != nil {
			return n
		}
		next++
		return next - 1
	}
	var running sync.WaitGroup
	for range min(n, pipeline) {
		running.Go(func() {
			for i := take(nil); i < n; {
				i = take(f(i))
			}
		})
	}
	running.Wait()
	return failure
}
