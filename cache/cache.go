package cache

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/retry"
)

// foldTime is how long WaitFor waits for a write before it compares the cache with the store. It
// is longer than a watch takes.
const foldTime = time.Second

// Options are the options of a cache. The zero value is good.
type Options struct {
	// OnError is called when the watch of the cache has ended, and each time that it cannot
	// be started again, with the error. It is for logs. Calls come one at a time, and the
	// cache waits for them. It must not call Close.
	OnError func(err error)
}

// Cache is a replica of the keys with a prefix. A watch keeps it up to date. All methods may
// be used concurrently.
type Cache struct {
	kv      kvdb.Kvdb
	prefix  string
	options Options
	decode  func(*kvdb.KVPair) (any, error) // nil if values are not decoded

	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned

	view atomic.Pointer[View] // the latest state

	// These belong to the goroutine of run.
	table *table
	base  uint64 // the index of the last snapshot
	again retry.Backoff

	mu            sync.Mutex         // protects the fields below
	restart       context.CancelFunc // ends the watch, so that another one begins; nil without one
	behind        bool               // restart was called
	untold        map[string]uint64  // keys of the snapshot that the watch may not know → CreatedIndex
	lost          time.Time          // when the watch ended, zero while there is one
	changed       chan struct{}
	subscriptions map[*subscription]struct{}
}

// New returns a cache of the keys that begin with prefix. It is in sync: it has every write
// that ended before the call. ctx bounds the life of the cache, like [Cache.Close]. kv must
// be usable during that time.
//
// The error is that of a watch or a consistent snapshot, which the store must support. Later
// errors do not end the cache; see [Cache.Synced].
func New(ctx context.Context, kv kvdb.Kvdb, prefix string, o Options) (*Cache, error) {
	return open(ctx, kv, prefix, o, nil)
}

func open(ctx context.Context, kv kvdb.Kvdb, prefix string, o Options, decode func(*kvdb.KVPair) (any, error)) (*Cache, error) {
	c := &Cache{
		kv: kv, prefix: prefix, options: o, decode: decode,
		done: make(chan struct{}), table: newTable(),
		again:         retry.Backoff{Min: 20 * time.Millisecond, Max: 5 * time.Second},
		subscriptions: map[*subscription]struct{}{},
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.view.Store(&View{table: c.table.copy(), generation: 1})
	w, err := c.start()
	if err != nil {
		c.cancel()
		return nil, err
	}
	go c.run(w)
	return c, nil
}

// Close ends the watch and the subscriptions, and waits until the cache's goroutine has
// ended. Reads continue to return the last state. It does not close the Kvdb.
func (c *Cache) Close() {
	c.cancel()
	<-c.done
}

// View returns the latest state. Several reads that belong together use one view.
func (c *Cache) View() *View { return c.view.Load() }

// Get is [View.Get] of the latest state.
func (c *Cache) Get(key string) (*kvdb.KVPair, error) { return c.View().Get(key) }

// Range is [View.Range] of the state at the beginning of the loop.
func (c *Cache) Range(prefix string) iter.Seq2[string, *kvdb.KVPair] {
	return func(yield func(string, *kvdb.KVPair) bool) { c.View().Range(prefix)(yield) }
}

// Index is [View.Index] of the latest state. It never goes back within a generation.
func (c *Cache) Index() uint64 { return c.View().Index() }

// WaitFor waits until the cache has the writes up to an index. A program that waits for the
// ModifiedIndex of its own write, or the KVDBIndex of a pair that Delete returned, reads that
// write. The write must be of a key below the cache's prefix: the cache does not see others.
//
// On a store whose watches fold changes (Consul, ZooKeeper) the cache may not be told of a key
// that was created and deleted soon after. If it is not told of the write within a second, and
// the store has no later one either, it compares itself with the store.
//
// The error is [kvdb.ErrWatchRevisionCompacted] if the store went back meanwhile (see
// [View.Generation]), the cause of ctx if that ends, or [kvdb.ErrClosed] if the cache does.
func (c *Cache) WaitFor(ctx context.Context, index uint64) error {
	if c.View().index >= index {
		return nil
	}
	missing := c.missing()
	defer missing.Stop()
	for generation, patience := c.View().generation, foldTime; ; {
		c.mu.Lock()
		v := c.view.Load()
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		if v.generation != generation {
			return kvdb.ErrWatchRevisionCompacted
		}
		if v.index >= index {
			return nil
		}
		select {
		case <-changed:
		case <-missing.C:
			if !c.hasNews(ctx) {
				c.compare()
			}
			patience *= 2
			missing.Reset(patience)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.done:
			return kvdb.ErrClosed
		}
	}
}

// missing returns a timer for the time after which a write must have been folded with another
// one, because the watch has not told it. It does not run if the store tells all writes.
func (c *Cache) missing() *time.Timer {
	timer := time.NewTimer(foldTime)
	if !c.folds() {
		timer.Stop()
	}
	return timer
}

// compare makes the cache begin anew if it has a watch: with another one, and a snapshot.
func (c *Cache) compare() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.restart != nil {
		c.behind = true
		c.restart()
		c.restart = nil
	}
}

// watching records the watch that compare ends, nil for none. It reports whether compare has
// ended the one before.
func (c *Cache) watching(restart context.CancelFunc) (behind bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	behind = c.behind
	c.restart, c.behind = restart, false
	return behind
}

// Synced reports whether a watch keeps the cache up to date. It is false after the watch has
// ended, because the store could not be reached for 50 s or its history is gone, and until the
// cache has compared itself with the store. Reads return the last state meanwhile. It is false
// after Close.
func (c *Cache) Synced() bool { return c.Lag() == 0 }

// Lag returns for how long Synced has been false, or 0. A watch rides out an outage of up to
// 50 s, so the state may be that much older.
func (c *Cache) Lag() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost.IsZero() {
		return 0
	}
	return max(time.Since(c.lost), 1)
}

// setLost sets when the watch ended. Zero means that there is one.
func (c *Cache) setLost(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost.IsZero() || at.IsZero() {
		c.lost = at
	}
}

// publish makes the table the latest state.
func (c *Cache) publish(index, generation uint64, changes []Change) {
	v := &View{c.table.copy(), index, generation}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.view.Store(v)
	for s := range c.subscriptions {
		s.add(changes)
	}
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// report hands an error to the program.
func (c *Cache) report(err error) {
	if c.options.OnError != nil {
		c.options.OnError(err)
	}
}
