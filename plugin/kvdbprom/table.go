package kvdbprom

import (
	"maps"
	"sync"
	"sync/atomic"
)

// table has the metrics of label values. A lookup takes no lock and allocates nothing,
// unlike one in a prometheus.MetricVec.
type table[K comparable, M any] struct {
	newMetric func(K) M
	mu        sync.Mutex // makes additions exclude each other
	metrics   atomic.Pointer[map[K]M]
}

func newTable[K comparable, M any](newMetric func(K) M) *table[K, M] {
	t := &table[K, M]{newMetric: newMetric}
	t.metrics.Store(&map[K]M{})
	return t
}

// of returns the metric of the label values k.
func (t *table[K, M]) of(k K) M {
	if metric, ok := (*t.metrics.Load())[k]; ok {
		return metric
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.metrics.Load()
	if metric, ok := old[k]; ok {
		return metric
	}
	metrics := maps.Clone(old)
	metrics[k] = t.newMetric(k)
	t.metrics.Store(&metrics)
	return metrics[k]
}
