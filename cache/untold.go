package cache

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/portworx/kvdb"
)

// A watch that folds changes (Consul, ZooKeeper) does not tell of a key that was created after
// it has looked at the store and deleted before it looks again. If the snapshot was taken
// between the two, the cache has the key, and would keep it. Such keys are untold until the
// watch tells of them.

// folds reports whether watches of the store fold changes.
func (c *Cache) folds() bool { return c.kv.Capabilities()&kvdb.KVCapabilityOrderedUpdates == 0 }

// now returns an index of the store that is smaller than those of later writes, or the largest
// index if nothing can be untold.
func (c *Cache) now(kv kvdb.Kvdb) (uint64, error) {
	if !c.folds() {
		return ^uint64(0), nil
	}
	none, index, err := kv.Snapshot([]string{c.prefix + "_none"}, true)
	if err != nil {
		return 0, err
	}
	return index, kvdb.Close(none)
}

// setUntold records which keys of a snapshot the watch may not know, with their CreatedIndex.
func (c *Cache) setUntold(keys map[string]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.untold = keys
}

// told records that the watch knows the keys of events. An event from before a key was created is
// of an earlier life of the key.
func (c *Cache) told(events kvdb.KVPairs) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.untold) == 0 {
		return
	}
	for _, event := range events {
		if created, ok := c.untold[event.Key]; ok && event.ModifiedIndex >= created {
			delete(c.untold, event.Key)
		}
	}
}

// untoldKeys returns the keys that the watch may not know.
func (c *Cache) untoldKeys() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.untold))
}

// confirm asks the store for the untold keys until there are none. If one is gone, the cache
// begins anew. ctx is that of the watch.
func (c *Cache) confirm(ctx context.Context) {
	kv := kvdb.WithContext(ctx, c.kv)
	tick := time.NewTicker(foldTime)
	defer tick.Stop()
	for len(c.untoldKeys()) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, key := range c.untoldKeys() {
			if _, err := kv.Get(key); errors.Is(err, kvdb.ErrNotFound) {
				c.compare()
				return
			}
		}
	}
}

// hasNews reports whether the store has a write that the watch has yet to tell, or does not answer.
func (c *Cache) hasNews(ctx context.Context) bool {
	kv := kvdb.WithContext(ctx, c.kv)
	for pair, err := range kvdb.PairsWith(kv, c.prefix, kvdb.PageOptions{Hidden: true, KeysOnly: true}) {
		if err != nil {
			return !errors.Is(err, kvdb.ErrNotSupported) // by a wrapper
		}
		if pair.ModifiedIndex > c.View().index {
			return true
		}
	}
	return false
}
