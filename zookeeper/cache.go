package zookeeper

import "sync"

// maxCached bounds the number of elements of a cache.
const maxCached = 10000

// cache is a map that forgets all when it is full.
type cache[K comparable, V any] struct {
	mu  sync.Mutex // protects all
	all map[K]V
}

func (c *cache[K, V]) get(key K) (value V, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, found = c.all[key]
	return value, found
}

func (c *cache[K, V]) set(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil || len(c.all) >= maxCached {
		c.all = map[K]V{}
	}
	c.all[key] = value
}

func (c *cache[K, V]) remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, key)
}

func (c *cache[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.all)
}
